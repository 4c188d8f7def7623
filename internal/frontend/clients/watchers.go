package clients

import (
	"fmt"

	"balsa.example/kv/watch"
)

// AddWatcher counts a watcher more, or tells whose bound that would exceed.
func (cl *Client) AddWatcher() error {
	switch cl.Watchers.Enter(0) {
	case OverClient:
		return fmt.Errorf("this client: %w", watch.ErrTooMany)
	case OverServer:
		return fmt.Errorf("this server: %w", watch.ErrTooMany)
	}
	return nil
}

// RemoveWatchers counts some watchers less.
func (cl *Client) RemoveWatchers(n int) {
	for range n {
		cl.Watchers.Leave(0)
	}
}

// Reserve counts bytes that are being sent to watchers as a request in progress. It returns false if
// there is no room for them now. Release counts them no more.
func (cl *Client) Reserve(bytes int64) bool { return cl.Requests.Enter(bytes) == Allowed }

// Release is the end of Reserve.
func (cl *Client) Release(bytes int64) { cl.Requests.Leave(bytes) }
