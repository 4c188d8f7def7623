package server

import (
	"fmt"
	"net"
)

// listen opens every address that is not open yet. On error none stays open.
func (c *Config) listen() (err error) {
	if c.PeerListener == nil {
		if c.PeerListener, err = net.Listen("tcp", c.ListenPeer.Host); err != nil {
			c.closeListeners()
			return fmt.Errorf("listen for peers: %w", err)
		}
	}
	if len(c.ClientListeners) > 0 {
		return nil
	}
	for _, u := range c.ListenClient {
		l, err := net.Listen("tcp", u.Host)
		if err != nil {
			c.closeListeners()
			return fmt.Errorf("listen for clients: %w", err)
		}
		c.ClientListeners = append(c.ClientListeners, l)
	}
	return nil
}

func (c *Config) closeListeners() {
	if c.PeerListener != nil {
		c.PeerListener.Close()
	}
	for _, l := range c.ClientListeners {
		l.Close()
	}
}
