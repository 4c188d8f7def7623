package http2

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/status"

	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// failure is what a function of package interop ends with when it fails.
type failure string

// fatalLog turns what would end the process into a failure of a test.
type fatalLog struct{ grpclog.LoggerV2 }

func (fatalLog) Fatal(args ...any)                 { panic(failure(fmt.Sprint(args...))) }
func (fatalLog) Fatalf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }
func (fatalLog) Fatalln(args ...any)               { panic(failure(fmt.Sprint(args...))) }

func init() { grpclog.SetLoggerV2(fatalLog{grpclog.NewLoggerV2(discard{}, discard{}, discard{})}) }

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// interopCases are the functions with which implementations of gRPC are tested against each other, as far as they are for any server.
var interopCases = []struct {
	name string
	do   func(context.Context, testpb.TestServiceClient, *grpc.ClientConn)
}{
	{"empty unary", service(interop.DoEmptyUnaryCall)},
	{"large unary", service(interop.DoLargeUnaryCall)},
	{"client streaming", service(interop.DoClientStreaming)},
	{"server streaming", service(interop.DoServerStreaming)},
	{"ping pong", service(interop.DoPingPong)},
	{"empty stream", service(interop.DoEmptyStream)},
	{"timeout on sleeping server", service(interop.DoTimeoutOnSleepingServer)},
	{"cancel after begin", cancelAfterBegin},
	{"cancel after first response", service(interop.DoCancelAfterFirstResponse)},
	{"custom metadata", service(interop.DoCustomMetadata)},
	{"status code and message", service(interop.DoStatusCodeAndMessage)},
	{"special status message", service(interop.DoSpecialStatusMessage)},
	{"unimplemented method", func(ctx context.Context, _ testpb.TestServiceClient, cc *grpc.ClientConn) {
		interop.DoUnimplementedMethod(ctx, cc)
	}},
	{"unimplemented service", func(ctx context.Context, _ testpb.TestServiceClient, cc *grpc.ClientConn) {
		interop.DoUnimplementedService(ctx, testpb.NewUnimplementedServiceClient(cc))
	}},
}

// cancelAfterBegin does what interop.DoCancelAfterBegin does, but does not end its side after it has cancelled the call: a server that
// sees that end first may rightly answer.
func cancelAfterBegin(ctx context.Context, client testpb.TestServiceClient, _ *grpc.ClientConn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.StreamingInputCall(ctx)
	if err != nil {
		panic(failure(err.Error()))
	}
	cancel()
	if err := stream.RecvMsg(new(testpb.StreamingInputCallResponse)); status.Code(err) != codes.Canceled {
		panic(failure(fmt.Sprint(err)))
	}
}

func service(do func(context.Context, testpb.TestServiceClient, ...grpc.CallOption)) func(context.Context, testpb.TestServiceClient, *grpc.ClientConn) {
	return func(ctx context.Context, client testpb.TestServiceClient, _ *grpc.ClientConn) { do(ctx, client) }
}

func TestInterop(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			to := s.start(t)
			cc, err := grpc.NewClient(to.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cc.Close() })
			for _, c := range interopCases {
				t.Run(c.name, func(t *testing.T) {
					skipKnown(t, to.known, c.name)
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					defer func() {
						if why, is := recover().(failure); is {
							t.Fatal(string(why))
						}
					}()
					c.do(ctx, testpb.NewTestServiceClient(cc), cc)
				})
			}
		})
	}
}
