package server

import (
	"context"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	v1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// example is a call on the page of the native API: a command of grpcurl with a request as JSON, and what it prints.
var example = regexp.MustCompile(`(?m)^\$ grpcurl -plaintext -d '(.*)' 127\.0\.0\.1:23790 balsa\.v1\.KV/Call\n(\{(?:.*\n)+?\})$`)

// TestThePageOfCalls makes the calls of docs/api.md in their order, as grpcurl does, which learns of all messages from the
// server. Each answers what the page says.
func TestThePageOfCalls(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := example.FindAllStringSubmatch(string(page), -1)
	if n := strings.Count(string(page), "$ grpcurl"); len(examples) != n || n < 4 {
		t.Fatalf("the page has %d commands, of which %d are calls with an answer", n, len(examples))
	}
	c := newTestCluster(t, options{servers: 1})
	c.startAll()
	c.leader()
	conn, ctx := c.etcdConn(0), etcdContext(t)
	method := lookUp(ctx, t, conn)
	for _, m := range examples {
		var got, want any
		if err := json.Unmarshal([]byte(m[2]), &want); err != nil {
			t.Fatalf("%s: %v", m[2], err)
		}
		printed := callJSON(ctx, t, conn, method, m[1])
		if err := json.Unmarshal(printed, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("docs/api.md: %s\nanswers %s\nnot     %s", m[1], printed, m[2])
		}
	}
}

// lookUp asks a server for the definition of Call.
func lookUp(ctx context.Context, t *testing.T, conn *grpc.ClientConn) protoreflect.MethodDescriptor {
	t.Helper()
	stream, err := v1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err == nil {
		err = stream.Send(&v1.ServerReflectionRequest{MessageRequest: &v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "balsa.v1.KV"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	for _, data := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(data, file); err != nil {
			t.Fatal(err)
		}
		set.File = append(set.File, file)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	d, err := files.FindDescriptorByName("balsa.v1.KV")
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.ServiceDescriptor).Methods().ByName("Call")
}

func callJSON(ctx context.Context, t *testing.T, conn *grpc.ClientConn, method protoreflect.MethodDescriptor, request string) []byte {
	t.Helper()
	req, reply := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	err := protojson.Unmarshal([]byte(request), req)
	if err == nil {
		err = conn.Invoke(ctx, "/balsa.v1.KV/Call", req, reply)
	}
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	printed, err := protojson.Marshal(reply)
	if err != nil {
		t.Fatal(err)
	}
	return printed
}
