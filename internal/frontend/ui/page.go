package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed page
var embedded embed.FS

// asset is one file of the page.
type asset struct{ data, kind, tag string }

// page are the files, by their paths below /ui/.
var page = readPage()

func readPage() map[string]asset {
	all := map[string]asset{}
	err := fs.WalkDir(embedded, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(embedded, name)
		sum := sha256.Sum256(data)
		all[strings.TrimPrefix(name, "page/")] = asset{string(data), kindOf(name), `"` + hex.EncodeToString(sum[:8]) + `"`}
		return err
	})
	if err != nil {
		panic(err) // what is embedded can be read
	}
	all[""] = all["index.html"]
	delete(all, "index.html")
	return all
}

// kindOf is the media type of a file. The machine's own table must not matter.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	panic("the page has a file of a kind that nobody has thought of: " + name)
}

// servePage answers with a file. Browsers keep it, and ask each time whether it is still the same: a
// server may have been upgraded.
func servePage(w http.ResponseWriter, r *http.Request) {
	a, ok := page[strings.TrimPrefix(r.URL.Path, prefix)]
	switch {
	case !ok:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", a.tag)
	http.ServeContent(w, r, "", time0, strings.NewReader(a.data))
}
