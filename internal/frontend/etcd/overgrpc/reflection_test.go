package overgrpc_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	v1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/overgrpc"
)

// TestServicesCanBeLookedUp asks as a tool does that knows nothing: for the services, for the file
// of one, and for what it imports.
func TestServicesCanBeLookedUp(t *testing.T) {
	g := grpc.NewServer()
	overgrpc.New(etcd.NewEntrance(nil)).Register(g, etcd.Methods)
	overgrpc.RegisterReflection(g)
	conn, err := grpc.NewClient(listen(t, g), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *v1.ServerReflectionRequest) *v1.ServerReflectionResponse {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil || resp.GetErrorResponse() != nil {
			t.Fatal(resp, err)
		}
		return resp
	}
	var names []string
	for _, s := range ask(&v1.ServerReflectionRequest{MessageRequest: &v1.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().Service {
		names = append(names, s.Name)
	}
	if !slices.Contains(names, "etcdserverpb.KV") || !slices.Contains(names, "etcdserverpb.Maintenance") {
		t.Errorf("services %q", names)
	}
	set, have := new(descriptorpb.FileDescriptorSet), map[string]bool{}
	add := func(resp *v1.ServerReflectionResponse) {
		for _, data := range resp.GetFileDescriptorResponse().FileDescriptorProto {
			file := new(descriptorpb.FileDescriptorProto)
			if err := proto.Unmarshal(data, file); err != nil {
				t.Fatal(err)
			}
			if !have[file.GetName()] {
				have[file.GetName()] = true
				set.File = append(set.File, file)
			}
		}
	}
	add(ask(&v1.ServerReflectionRequest{MessageRequest: &v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "etcdserverpb.KV"}}))
	for i := 0; i < len(set.File); i++ {
		for _, name := range set.File[i].Dependency {
			if !have[name] {
				add(ask(&v1.ServerReflectionRequest{MessageRequest: &v1.ServerReflectionRequest_FileByFilename{FileByFilename: name}}))
			}
		}
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.FindDescriptorByName("etcdserverpb.RangeRequest"); err != nil {
		t.Error(err)
	}
}
