package server

import (
	"fmt"
	"net"
	"net/url"
)

// listen opens every address that is not open yet. On error none stays open.
func (c *Config) listen() (err error) {
	defer func() {
		if err != nil {
			c.closeListeners()
		}
	}()
	if c.PeerListener == nil {
		var listeners []net.Listener
		if err := listenAll(&listeners, c.ListenPeer); err != nil {
			closeAll(listeners)
			return fmt.Errorf("listen for peers: %w", err)
		}
		c.PeerListener = join(listeners)
	}
	if err := listenAll(&c.ClientListeners, c.ListenClient); err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	if c.InProcess != nil {
		c.ClientListeners, c.InProcess = append(c.ClientListeners, c.InProcess), nil
	}
	if err := listenAll(&c.MetricsListeners, c.ListenMetrics); err != nil {
		return fmt.Errorf("listen for requests of metrics: %w", err)
	}
	return nil
}

// listenAll opens all addresses, unless some are open already.
func listenAll(listeners *[]net.Listener, urls []*url.URL) error {
	if len(*listeners) > 0 {
		return nil
	}
	for _, u := range urls {
		l, err := listenOn(u)
		if err != nil {
			return err
		}
		*listeners = append(*listeners, l)
	}
	return nil
}

func (c *Config) closeListeners() {
	for _, l := range []net.Listener{c.PeerListener, c.InProcess} {
		if l != nil {
			l.Close()
		}
	}
	closeAll(c.ClientListeners)
	closeAll(c.MetricsListeners)
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}
