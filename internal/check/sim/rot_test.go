package sim

import "testing"

// The manifest and small files are damaged. Nobody can repair the first, so it counts, whatever the order of a map is.
func TestADamagedManifestCountsBeforeSmallFiles(t *testing.T) {
	d := &disk{files: &memFS{files: map[string]*memNode{}}}
	for _, name := range []string{smallPath + "1", manifestPath, smallPath + "2"} {
		n := &memNode{lost: true}
		d.files.files[name], d.rotten = n, append(d.rotten, rottenFile{node: n})
	}
	for range 100 {
		if got := d.rottenImage(); got != manifestPath {
			t.Fatalf("it is %s", got)
		}
	}
}
