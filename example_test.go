package balsa_test

import (
	"context"

	"balsa.example"
	"balsa.example/member"
)

// A new member takes the place of one whose directory is lost: a member that runs says so to the cluster, and then the new one starts
// with an empty directory.
func ExampleNode_Member() {
	replace := func(ctx context.Context, node *balsa.Node[int, int]) error {
		_, err := node.Member().Replace(ctx, member.Who{Name: "n2"}, "") // in a member that runs
		return err
	}
	start := func(cfg balsa.Config[int, int]) (*balsa.Node[int, int], error) {
		cfg.Name, cfg.Members = "n2", nil // and then the new one
		cfg.Join, cfg.Address = []string{"127.0.0.1:7401", "127.0.0.1:7403"}, "127.0.0.1:7402"
		return balsa.Start(cfg)
	}
	_, _ = replace, start
}
