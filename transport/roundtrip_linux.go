package transport

import (
	"net"
	"syscall"
	"time"
	"unsafe"
)

// tcpInfoSize and tcpInfoRTT are of struct tcp_info (linux/tcp.h), of which only the end has ever
// changed: how much of it is asked for, and where its smoothed round-trip time is, a number of
// 32 bits in microseconds.
const (
	tcpInfoSize = 104
	tcpInfoRTT  = 68
)

// roundTrip is how long packets of a TCP connection take there and back, as the kernel measures it.
func roundTrip(conn net.Conn) (time.Duration, bool) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, false
	}
	var info [tcpInfoSize / 4]uint32
	size, errno := uint32(tcpInfoSize), syscall.Errno(0)
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err != nil || errno != 0 || size < tcpInfoRTT+4 {
		return 0, false
	}
	return time.Duration(info[tcpInfoRTT/4]) * time.Microsecond, true
}
