package balsa_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// dependencies lists what a user of each public package compiles besides the standard
// library: the modules, this one left out. The packages of the library need x/sys at most;
// gRPC, protobuf and Prometheus belong to the service, and so do the interfaces of OpenTelemetry: those who
// use it bring a TracerProvider. What sends spans is linked by cmd/balsa alone.
const dependencies = `
	raft        -
	raft/quorum -
	rsm         golang.org/x/sys
	wal         golang.org/x/sys
	transport   -
	vfs         golang.org/x/sys
	member      golang.org/x/sys
	.           golang.org/x/sys
	clerk       github.com/cespare/xxhash/v2 go.opentelemetry.io/otel go.opentelemetry.io/otel/trace golang.org/x/net golang.org/x/sys golang.org/x/text google.golang.org/genproto/googleapis/rpc google.golang.org/grpc google.golang.org/protobuf
	embed       github.com/beorn7/perks github.com/cespare/xxhash/v2 github.com/golang-jwt/jwt/v5 github.com/golang/protobuf github.com/grpc-ecosystem/grpc-gateway/v2 github.com/munnerz/goautoneg github.com/prometheus/client_golang github.com/prometheus/client_model github.com/prometheus/common github.com/prometheus/procfs github.com/tidwall/btree go.etcd.io/bbolt go.etcd.io/etcd/api/v3 go.opentelemetry.io/otel go.opentelemetry.io/otel/trace golang.org/x/crypto golang.org/x/net golang.org/x/sys golang.org/x/text google.golang.org/genproto/googleapis/api google.golang.org/genproto/googleapis/rpc google.golang.org/grpc google.golang.org/protobuf
`

// testsOnly are modules that no program of balsa contains.
var testsOnly = []string{
	"github.com/cockroachdb/pebble/v2", "github.com/anishathalye/porcupine", "pgregory.net/rapid",
}

func TestPublicPackagesNeedLittle(t *testing.T) {
	for line := range strings.Lines(strings.TrimSpace(dependencies)) {
		fields := strings.Fields(line)
		name, want := fields[0], fields[1:]
		if want[0] == "-" {
			want = nil
		}
		if got := modulesOf(t, name); !slices.Equal(got, want) {
			t.Errorf("%s needs the modules %q, and the table says %q", name, got, want)
		}
	}
}

func TestProgramsContainNoTestModules(t *testing.T) {
	for _, module := range modulesOf(t, "cmd/balsa") {
		if slices.Contains(testsOnly, module) {
			t.Errorf("cmd/balsa contains %s", module)
		}
	}
}

// modulesOf returns the paths of the modules that a package needs, without this one.
func modulesOf(t *testing.T, name string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./"+name).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", name, err)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	return slices.Compact(modules)
}
