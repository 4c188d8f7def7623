package etcd_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd"
)

// services are those of the API, as published.
var services = []protoreflect.FullName{"etcdserverpb.KV", "etcdserverpb.Lease", "etcdserverpb.Auth", "etcdserverpb.Cluster", "etcdserverpb.Maintenance", "etcdserverpb.Watch",
	"v3lockpb.Lock", "v3electionpb.Election"}

// TestMethodsAreThoseThatArePublished compares the list with the descriptors: names, requests, and
// what is a stream.
func TestMethodsAreThoseThatArePublished(t *testing.T) {
	published := map[string]protoreflect.MethodDescriptor{}
	for _, name := range services {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		if err != nil {
			t.Fatal(err)
		}
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			published["/"+string(name)+"/"+string(methods.Get(i).Name())] = methods.Get(i)
		}
	}
	var names []string
	for _, m := range etcd.Methods {
		names = append(names, m.Name)
		d := published[m.Name]
		if d == nil {
			t.Errorf("%s is not published", m.Name)
			continue
		}
		delete(published, m.Name)
		if got := m.NewRequest().ProtoReflect().Descriptor().FullName(); got != d.Input().FullName() {
			t.Errorf("%s takes a %s, not a %s", m.Name, got, d.Input().FullName())
		}
		if (m.Serve != nil) != d.IsStreamingServer() || m.ClientStreams != d.IsStreamingClient() || (m.Call != nil) == (m.Serve != nil) {
			t.Errorf("%s is a stream where it should not be, or the other way round", m.Name)
		}
	}
	for name := range published {
		t.Errorf("%s is missing", name)
	}
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("a method is there twice: %q", names)
	}
}
