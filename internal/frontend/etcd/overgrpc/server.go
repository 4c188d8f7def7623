package overgrpc

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/frontend/watching"
	"balsa.example/internal/metrics"
)

// Server serves the Face that is behind an Entrance. It is registered before there is one.
type Server struct {
	entrance *etcd.Entrance
	// Bounds returns what counts for the client of a stream, and a function that is called when
	// that has ended. It is set before Register; nil: nothing counts.
	Bounds func(context.Context) (bounds watching.Bounds, done func())
	// Requests counts what clients of each version ask; nil: nobody does.
	Requests *metrics.EtcdRequests
}

// New returns a Server. When the Entrance closes it ends all streams.
func New(e *etcd.Entrance) *Server { return &Server{entrance: e} }

// Register adds the services of methods to a gRPC server.
func (s *Server) Register(to grpc.ServiceRegistrar, methods []etcd.Method) {
	services := map[string]*grpc.ServiceDesc{}
	for _, m := range methods {
		service, method, _ := strings.Cut(strings.TrimPrefix(m.Name, "/"), "/")
		d := services[service]
		if d == nil {
			d = &grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil), Metadata: fileOf(m)}
			services[service] = d
		}
		if m.Serve != nil {
			d.Streams = append(d.Streams, s.stream(method, m))
		} else {
			d.Methods = append(d.Methods, s.unary(method, m))
		}
	}
	for _, d := range services {
		to.RegisterService(d, s)
	}
}

// fileOf returns the path of the file that describes a method's service, for reflection.
func fileOf(m etcd.Method) string {
	return m.NewRequest().ProtoReflect().Descriptor().ParentFile().Path()
}

func (s *Server) unary(method string, m etcd.Method) grpc.MethodDesc {
	call := func(ctx context.Context, req any) (any, error) {
		f, err := s.entrance.Face(ctx)
		if err != nil {
			return nil, statusOf(err)
		}
		c, err := s.callerOf(ctx)
		if err != nil {
			return nil, statusOf(err)
		}
		resp, err := m.Call(f, ctx, &c, req.(proto.Message))
		if err != nil {
			return nil, statusOf(err)
		}
		return resp, nil
	}
	info := &grpc.UnaryServerInfo{Server: s, FullMethod: m.Name}
	handler := func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		req := m.NewRequest()
		if err := decode(req); err != nil {
			return nil, err
		}
		if intercept == nil {
			return call(ctx, req)
		}
		return intercept(ctx, req, info, call)
	}
	return grpc.MethodDesc{MethodName: method, Handler: handler}
}

func (s *Server) stream(method string, m etcd.Method) grpc.StreamDesc {
	handler := func(_ any, g grpc.ServerStream) error {
		f, err := s.entrance.Face(g.Context())
		if err != nil {
			return statusOf(err)
		}
		c, err := s.callerOf(g.Context())
		if err != nil {
			return statusOf(err)
		}
		if s.Bounds != nil {
			bounds, done := s.Bounds(g.Context())
			defer done()
			c.Bounds = bounds
		}
		own := &stream{ServerStream: g, closed: s.entrance.Closed()}
		defer own.end()
		if err := m.Serve(f, &c, own); err != nil {
			return statusOf(cmp.Or(own.cause(), err))
		}
		return nil
	}
	return grpc.StreamDesc{StreamName: method, Handler: handler, ServerStreams: true, ClientStreams: m.ClientStreams}
}

// statusOf is an error as gRPC sends it.
func statusOf(err error) error {
	var known *translate.Error
	if errors.As(err, &known) {
		return status.Error(codes.Code(known.Code), known.Text)
	}
	if _, ok := status.FromError(err); ok {
		return err // one of gRPC's own, of a stream that has ended
	}
	return status.FromContextError(err).Err()
}
