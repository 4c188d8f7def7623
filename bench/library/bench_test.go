package library

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"balsa.example/internal/loadgen"
)

// BenchmarkCluster is for profiles: the comparison itself is the program's.
func BenchmarkCluster(b *testing.B) {
	for _, library := range []struct {
		name string
		open func(string, io.Writer) (*Cluster, error)
	}{{"balsa", Balsa}, {"dragonboat", Dragonboat}, {"hashicorp", Hashicorp}} {
		b.Run(library.name, func(b *testing.B) {
			c, err := library.open(b.TempDir(), io.Discard)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			for operation, reads := range []float64{0, 1} {
				for _, callers := range []int{1, 100, 1000} {
					name := fmt.Sprintf("%s/callers=%d", []string{"put", "get"}[operation], callers)
					b.Run(name, func(b *testing.B) { benchmarkCluster(b, c, reads, callers) })
				}
			}
		})
	}
}

func benchmarkCluster(b *testing.B, c *Cluster, reads float64, callers int) {
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	g := &loadgen.Generator{Systems: []loadgen.System{c}}
	b.ReportAllocs()
	b.ResetTimer()
	report, err := g.Run(ctx, loadgen.Load{
		Callers: callers, Reads: reads, Keys: 10_000, KeySize: 16, ValueSize: 256,
		Distribution: loadgen.Uniform, Ops: int64(b.N),
	})
	if err != nil || report.Ops() != int64(b.N) {
		b.Fatalf("%d of %d operations succeeded, %v", report.Ops(), b.N, err)
	}
}
