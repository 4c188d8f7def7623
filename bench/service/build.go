package service

import (
	"context"
	"fmt"
	"os/exec"
)

// Build builds balsa, of the module around, as the file program.
func Build(ctx context.Context, program string) error {
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "balsa.example/cmd/balsa").CombinedOutput(); err != nil {
		return fmt.Errorf("build balsa: %w\n%s", err, out)
	}
	return nil
}
