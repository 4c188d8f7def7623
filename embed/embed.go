package embed

import (
	"context"
	"slices"
	"strings"

	"balsa.example/clerk"
	"balsa.example/internal/inproc"
	"balsa.example/internal/server"
)

// ErrHangs is Server.Err after a Stop that did not wait for a call of the disk that did not
// end. The process should end.
var ErrHangs = server.ErrHangs

// Server is one running server.
type Server struct {
	server *server.Server
	memory *inproc.Listener
	// own are the addresses of this server, and endpoint is the one that its Clerks are given: with the name that its
	// certificate has, if there is one.
	own      []string
	endpoint string
}

// Start runs a server. When it returns, the server listens; requests are answered when
// Ready is closed. On error nothing runs. The error is ErrConfig for a mistake in cfg, one of
// the other errors of package member for a directory that is not this server's or not in
// order, and rsm.ErrDiverged for that of a replica that diverged. Stop must be called in the
// end.
func Start(cfg Config) (*Server, error) {
	c, err := cfg.server()
	if err != nil {
		return nil, err
	}
	return run(c)
}

func run(c server.Config) (_ *Server, err error) {
	memory := inproc.Listen()
	c.InProcess = memory
	s := &Server{memory: memory, own: []string{memoryHost}, endpoint: memoryHost}
	for _, u := range slices.Concat(c.AdvertiseClient, c.ListenClient) {
		if !strings.HasPrefix(u.Scheme, "http") {
			continue // a socket in the file system has no name that a certificate could have
		}
		if len(s.own) == 1 && len(c.ListenClient) > 0 {
			s.endpoint = u.String()
		}
		s.own = append(s.own, strings.ToLower(u.Host))
	}
	s.server, err = server.Start(c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Ready is closed when the server answers requests: soon, if its directory has taken part
// before; else when all servers of the cluster have been reached once; never, if the server
// fails before.
func (s *Server) Ready() <-chan struct{} { return s.server.Ready() }

// Failed is closed when the server cannot go on: its disk has failed, or the cluster does
// not admit it. Err tells why. Stop it then.
func (s *Server) Failed() <-chan struct{} { return s.server.Failed() }

// Err is why the server failed, nil if it did not.
func (s *Server) Err() error { return s.server.Err() }

// Stop stops the server: a leader hands over first, requests in progress are answered, then
// all is closed. It takes about three seconds at most. When ctx ends it hurries. If the disk
// hangs, it returns after six seconds, and Err is ErrHangs. It may be called again, and at any
// time.
func (s *Server) Stop(ctx context.Context) { s.server.Shutdown(ctx) }

// Clerk returns a client whose connection to this server goes through memory. Where the
// cluster has other servers, and one of them leads, it reaches that by its address. A
// server with ClientTLS wants TLS here as well: give the options that a client elsewhere
// would be given. Close the Clerk before Stop: after it, and while the server is not Ready, the
// Clerk's calls wait until their context ends.
func (s *Server) Clerk(options ...clerk.Option) (*clerk.Clerk, error) {
	dial := s.memory.Dialer(s.own...)
	return clerk.New([]string{s.endpoint}, append([]clerk.Option{clerk.WithDialer(dial)}, options...)...)
}
