package service

import (
	"path/filepath"
	"testing"
)

// The processor time of a member can be asked for while its process is killed and replaced.
func TestProcessorTimeWhileTheProcessIsReplaced(t *testing.T) {
	m := &member{name: "n1", dir: filepath.Join(t.TempDir(), "n1")}
	replace := func() {
		if err := m.start("sleep", []string{"60"}); err != nil {
			t.Fatal(err)
		}
	}
	replace()
	done, asked := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-done:
				asked <- nil
				return
			default:
				if _, err := m.used(); err != nil {
					asked <- err
					return
				}
			}
		}
	}()
	for range 50 {
		if err := m.process.Process.Kill(); err != nil {
			t.Error(err)
		}
		<-m.exited
		replace()
	}
	close(done)
	if err := <-asked; err != nil {
		t.Error(err)
	}
	if err := m.process.Process.Kill(); err != nil {
		t.Error(err)
	}
	<-m.exited
}
