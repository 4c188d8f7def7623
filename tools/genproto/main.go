// Command genproto turns the .proto files of this repository into Go code. It needs no protoc: the
// compiler is a Go library, and the generators are this module's tools.
//
//	go run ./genproto          write the generated files beside each .proto
//	go run ./genproto -check   fail if they are not what would be written
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	_ "go.etcd.io/etcd/api/v3/etcdserverpb" // what the .proto files of its services import
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// target is a .proto, and the generators that it passes through; see the tool lines of go.mod.
type target struct {
	dir, file  string
	generators []string
}

// The services of etcd are served without generated code.
var targets = []target{
	{"../api", "balsa.proto", []string{"protoc-gen-go", "protoc-gen-go-grpc"}},
	{"../internal/frontend/etcd/v3lockpb", "v3lock.proto", []string{"protoc-gen-go"}},
	{"../internal/frontend/etcd/v3electionpb", "v3election.proto", []string{"protoc-gen-go"}},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("genproto: ")
	check := flag.Bool("check", false, "write nothing; fail if the code is stale")
	flag.Parse()

	for _, t := range targets {
		if err := t.run(*check); err != nil {
			log.Fatal(err)
		}
	}
}

func (t target) run(check bool) error {
	req, err := compile(t.dir, t.file)
	if err != nil {
		return fmt.Errorf("compile %s: %w", t.file, err)
	}
	for _, g := range t.generators {
		outputs, err := generate(g, req)
		if err != nil {
			return fmt.Errorf("run %s: %w", g, err)
		}
		for _, out := range outputs {
			name := filepath.Join(t.dir, out.GetName())
			if err := emit(name, []byte(out.GetContent()), check); err != nil {
				return err
			}
		}
	}
	return nil
}

// published finds the files that etcd and Google publish, among those that are linked into this
// program. Those of etcd import each other with a directory in front, and are linked without one.
func published(name string) (protocompile.SearchResult, error) {
	linked := name
	if strings.HasPrefix(name, "etcd/api/") {
		linked = path.Base(name)
	}
	d, err := protoregistry.GlobalFiles.FindFileByPath(linked)
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	file := protodesc.ToFileDescriptorProto(d)
	file.Name = &name
	return protocompile.SearchResult{Proto: file}, nil
}

// compile parses and links the file, and returns it in the form that generators
// read. Comments travel in the source info.
func compile(dir, file string) (*pluginpb.CodeGeneratorRequest, error) {
	c := protocompile.Compiler{
		Resolver: protocompile.CompositeResolver{
			&protocompile.SourceResolver{ImportPaths: []string{dir}}, protocompile.ResolverFunc(published),
		},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := c.Compile(context.Background(), file)
	if err != nil {
		return nil, err
	}
	return &pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{file},
		Parameter:      proto.String("paths=source_relative"),
		ProtoFile:      withImports(files[0], nil),
	}, nil
}

// withImports appends f to descs after everything that it imports.
func withImports(f linker.File, descs []*descriptorpb.FileDescriptorProto) []*descriptorpb.FileDescriptorProto {
	for _, d := range descs {
		if d.GetName() == f.Path() {
			return descs
		}
	}
	imports := f.Imports()
	for i := range imports.Len() {
		descs = withImports(f.FindImportByPath(imports.Get(i).Path()), descs)
	}
	return append(descs, protoutil.ProtoFromFileDescriptor(f))
}

// generate passes the request through a generator, which speaks protobuf on its
// standard input and output.
func generate(name string, req *pluginpb.CodeGeneratorRequest) ([]*pluginpb.CodeGeneratorResponse_File, error) {
	in, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "tool", name)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &resp); err != nil {
		return nil, err
	}
	if resp.Error != nil {
		return nil, errors.New(resp.GetError())
	}
	return resp.GetFile(), nil
}

// emit writes a generated file, or checks that it is there already.
func emit(name string, content []byte, check bool) error {
	if !check {
		return os.WriteFile(name, content, 0o644)
	}
	have, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read generated code: %w", err)
	}
	if !bytes.Equal(have, content) {
		return fmt.Errorf("%s is stale: run make proto", name)
	}
	return nil
}
