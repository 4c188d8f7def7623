package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
)

// unpack writes a tar file to a file system.
func unpack(t *testing.T, fsys vfs.FS, data []byte) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		b, readErr := io.ReadAll(r)
		if err = errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		if h.Mode != 0o600 {
			t.Errorf("%s may be read by others: %o", h.Name, h.Mode)
		}
		if err := errors.Join(vfs.MakeDir(fsys, filepath.Dir(h.Name)), vfs.WriteFile(fsys, h.Name, b)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestATarFileIsABackup unpacks one, verifies it, and goes on with backups in its directory.
func TestATarFileIsABackup(t *testing.T) {
	w := newWorld(t)
	w.write(400)
	w.checkpoint()
	var name string
	var out bytes.Buffer
	p, err := WriteTar(t.Context(), w.source(), func(dir string) io.Writer { name = dir; return &out })
	if err != nil || !strings.HasPrefix(name, "balsa-") {
		t.Fatal(name, err)
	}
	fsys := crashfs.NewMem()
	unpack(t, fsys, out.Bytes())
	d, err := Open(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Verify(t.Context(), nil, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	if points := d.Points(); len(points) != 1 || points[0].Revision != p.Revision || points[0].Hash != p.Hash || len(points[0].runs) < 2 {
		t.Errorf("its points are %+v, want %+v", points, p)
	}
	w.write(50)
	w.checkpoint()
	if _, fresh, err := Receive(t.Context(), fsys, name, w.source(), nil); err != nil || !fresh {
		t.Errorf("the next backup: %t, %v", fresh, err)
	}
}

func TestATarFileThatIsCutOffIsNoBackup(t *testing.T) {
	w := newWorld(t)
	w.write(100)
	w.checkpoint()
	full := errors.New("full")
	_, err := WriteTar(t.Context(), w.source(), func(string) io.Writer { return &short{left: 2000, err: full} })
	if !errors.Is(err, full) {
		t.Errorf("what is not written is %v", err)
	}
	var out bytes.Buffer
	if _, err := WriteTar(t.Context(), &rotten{w.source()}, func(string) io.Writer { return &out }); !errors.Is(err, ErrDamaged) {
		t.Errorf("a run that has rotted is written: %v", err)
	}
	r, names := tar.NewReader(&out), []string{}
	for h, err := r.Next(); err == nil; h, err = r.Next() {
		names = append(names, filepath.Base(h.Name))
	}
	if want := []string{headName, "run-1"}; !reflect.DeepEqual(names, want) {
		t.Errorf("it has %v, want %v: no point", names, want)
	}
}

// rotten is a source of which each file has one wrong bit.
type rotten struct{ *source }

func (r *rotten) File(ctx context.Context, name []byte, offset int64) (io.ReadCloser, error) {
	f, err := r.source.File(ctx, name, offset)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	b[len(b)/2] ^= 1
	return io.NopCloser(bytes.NewReader(b)), err
}

// short takes so many bytes.
type short struct {
	left int
	err  error
}

func (s *short) Write(b []byte) (int, error) {
	if s.left -= len(b); s.left < 0 {
		return 0, s.err
	}
	return len(b), nil
}
