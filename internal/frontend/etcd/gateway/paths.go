package gateway

import (
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"balsa.example/internal/frontend/etcd"
)

// pathsOf returns the methods by the paths that their descriptors name.
func pathsOf(methods []etcd.Method) map[string]etcd.Method {
	paths := map[string]etcd.Method{}
	for _, m := range methods {
		name := strings.ReplaceAll(strings.TrimPrefix(m.Name, "/"), "/", ".")
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			continue // it is in no file, so it has no path
		}
		rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
		for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
			if path := r.GetPost(); path != "" {
				paths[path] = m
			}
		}
	}
	return paths
}
