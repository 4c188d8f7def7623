// Command genproto turns api/balsa.proto into Go code. It needs no protoc: the
// compiler is a Go library, and the generators are this module's tools.
//
//	go run ./genproto          write the generated files beside the .proto
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
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// generators are what each .proto passes through; see the tool lines of go.mod.
var generators = []string{"protoc-gen-go", "protoc-gen-go-grpc"}

func main() {
	log.SetFlags(0)
	log.SetPrefix("genproto: ")
	dir := flag.String("dir", "../api", "where the .proto is and the code goes")
	file := flag.String("file", "balsa.proto", "the .proto")
	check := flag.Bool("check", false, "write nothing; fail if the code is stale")
	flag.Parse()

	if err := run(*dir, *file, *check); err != nil {
		log.Fatal(err)
	}
}

func run(dir, file string, check bool) error {
	req, err := compile(dir, file)
	if err != nil {
		return fmt.Errorf("compile %s: %w", file, err)
	}
	for _, g := range generators {
		outputs, err := generate(g, req)
		if err != nil {
			return fmt.Errorf("run %s: %w", g, err)
		}
		for _, out := range outputs {
			path := filepath.Join(dir, out.GetName())
			if err := emit(path, []byte(out.GetContent()), check); err != nil {
				return err
			}
		}
	}
	return nil
}

// compile parses and links the file, and returns it in the form that generators
// read. Comments travel in the source info.
func compile(dir, file string) (*pluginpb.CodeGeneratorRequest, error) {
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{dir}}),
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
func emit(path string, content []byte, check bool) error {
	if !check {
		return os.WriteFile(path, content, 0o644)
	}
	have, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read generated code: %w", err)
	}
	if !bytes.Equal(have, content) {
		return fmt.Errorf("%s is stale: run go generate ./api", path)
	}
	return nil
}
