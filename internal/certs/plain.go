package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// alert is what a server says in TLS that understands nothing: a fatal alert,
// unexpected_message.
var alert = []byte{recordAlert, 3, 3, 0, 2, 2, 10}

// The types of the records that a connection of TLS begins with, on either side.
const (
	recordAlert     = 21
	recordHandshake = 22
)

// IsTLS tells whether what begins so is TLS. It takes two bytes to see.
func IsTLS(b []byte) bool {
	return len(b) >= 2 && (b[0] == recordAlert || b[0] == recordHandshake) && b[1] == 3
}

// Plain tells whether a handshake failed because the other side does not speak TLS.
func Plain(err error) bool {
	var header tls.RecordHeaderError
	return errors.As(err, &header) && !IsTLS(header.RecordHeader[:])
}

// RefusePlain answers somebody who does not speak TLS in a way that tells that there is TLS
// here, if that is why a handshake of a server failed with err. It returns err, and says so.
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
