package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// alert is a fatal TLS alert, unexpected_message: the answer to a client that does not speak
// TLS.
var alert = []byte{recordAlert, 3, 3, 0, 2, 2, 10}

// The types of the records with which a TLS connection begins, on either side.
const (
	recordAlert     = 21
	recordHandshake = 22
)

// IsTLS tells whether the first bytes of a connection are TLS. It needs two bytes.
func IsTLS(b []byte) bool {
	return len(b) >= 2 && (b[0] == recordAlert || b[0] == recordHandshake) && b[1] == 3
}

// Plain tells whether a handshake failed because the other side does not speak TLS.
func Plain(err error) bool {
	var header tls.RecordHeaderError
	return errors.As(err, &header) && !IsTLS(header.RecordHeader[:])
}

// RefusePlain is for a server whose handshake failed with err. If the client does not speak TLS,
// it sends a TLS alert, which tells the client that this server does, and returns err with that
// reason.
func RefusePlain(err error) error {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) || !Plain(err) {
		return err
	}
	if header.Conn != nil {
		header.Conn.Write(alert)
	}
	return fmt.Errorf("the other side does not speak TLS (%w)", err)
}
