package overgrpc

import (
	"path"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	v1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	v1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Reflector is a gRPC server that tells which services it has.
type Reflector interface {
	grpc.ServiceRegistrar
	reflection.ServiceInfoProvider
}

// RegisterReflection lets clients ask for the services of a server, and for their descriptions.
func RegisterReflection(to Reflector) {
	opts := reflection.ServerOptions{Services: to, DescriptorResolver: resolver{}}
	v1.RegisterServerReflectionServer(to, reflection.NewServerV1(opts))
	v1alpha.RegisterServerReflectionServer(to, reflection.NewServer(opts))
}

// resolver finds the descriptions of what is linked into this program.
type resolver struct{}

// FindFileByPath implements protodesc.Resolver.
func (resolver) FindFileByPath(name string) (protoreflect.FileDescriptor, error) {
	return linked().FindFileByPath(name)
}

// FindDescriptorByName implements protodesc.Resolver.
func (resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return linked().FindDescriptorByName(name)
}

// linked are all files, with imports that can be found: those of etcd import each other by names
// under which they are not registered.
var linked = sync.OnceValue(func() *protoregistry.Files {
	set := new(descriptorpb.FileDescriptorSet)
	protoregistry.GlobalFiles.RangeFiles(func(d protoreflect.FileDescriptor) bool {
		file := protodesc.ToFileDescriptorProto(d)
		for i, name := range file.Dependency {
			if strings.HasPrefix(name, "etcd/api/") {
				file.Dependency[i] = path.Base(name)
			}
		}
		set.File = append(set.File, file)
		return true
	})
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return protoregistry.GlobalFiles
	}
	return files
})
