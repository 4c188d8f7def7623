package balsa_test

import (
	"encoding/xml"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// page is one Markdown file: its text without code, and the anchors of its headings.
type page struct {
	prose   string
	code    []snippet
	anchors map[string]bool
}

// snippet is one fenced block of code, and the source that a comment before it names.
type snippet struct{ source, text string }

var (
	heading = regexp.MustCompile(`^#{1,6} +(.*)`)
	link    = regexp.MustCompile(`(!?)\[([^\]]*)\]\(([^) ]+)\)`)
	// from is how a page says where a snippet is compiled.
	from = regexp.MustCompile(`^<!-- from: (\S+) -->$`)
	// mention is how Go comments refer to a page.
	mention = regexp.MustCompile(`\bdocs/[a-z/-]+\.md\b|\b(?:[a-z]+/)*(?:DESIGN|README|CHANGELOG)\.md\b`)
)

func readPage(text string) page {
	p := page{anchors: map[string]bool{}}
	fenced, source := false, ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch m := heading.FindStringSubmatch(line); {
		case strings.HasPrefix(line, "```"):
			if fenced = !fenced; fenced {
				p.code = append(p.code, snippet{source: source})
			}
			source = ""
		case fenced:
			p.code[len(p.code)-1].text += line + "\n"
		case from.MatchString(line):
			source = from.FindStringSubmatch(line)[1]
		case m != nil:
			p.anchors[p.anchor(m[1])] = true
			p.prose += line + "\n"
		default:
			p.prose += line + "\n"
		}
	}
	return p
}

// anchor is GitHub's name for a heading.
func (p page) anchor(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(link.ReplaceAllString(title, "$2")) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	name := b.String()
	for n := 1; p.anchors[name]; n++ {
		name = b.String() + "-" + strconv.Itoa(n)
	}
	return name
}

// files returns the contents of all files of the repository whose names end so.
func files(t *testing.T, suffixes ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == "testdata" || name != "." && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		for _, suffix := range suffixes {
			if err == nil && strings.HasSuffix(name, suffix) {
				data, readErr := os.ReadFile(name)
				all[name], err = string(data), readErr
			}
		}
		return err
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("%d files of %v, %v", len(all), suffixes, err)
	}
	return all
}

func pages(t *testing.T) map[string]page {
	t.Helper()
	all := map[string]page{}
	for name, text := range files(t, ".md") {
		all[name] = readPage(text)
	}
	return all
}

// TestLinksLeadSomewhere finds links between pages whose file or heading is gone, and
// pictures without words for those who do not see them.
func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	for name, p := range all {
		for _, m := range link.FindAllStringSubmatch(p.prose, -1) {
			if m[1] != "" && m[2] == "" {
				t.Errorf("%s: the picture %s has no alternative text", name, m[3])
			}
			if strings.Contains(m[3], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[3], "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s: %v", name, m[3], err)
			} else if anchor != "" && !all[target].anchors[anchor] {
				t.Errorf("%s: the link %s: no such heading", name, m[3])
			}
		}
	}
}

// linesWith returns the lines of a text that have a word. Regular expressions take long for all of them.
func linesWith(text, word string) string {
	var some strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			some.WriteString(line)
		}
	}
	return some.String()
}

// TestCommentsNamePagesThatExist reads Go files, from the root or from their own folder.
func TestCommentsNamePagesThatExist(t *testing.T) {
	for name, text := range files(t, ".go", ".proto") {
		for _, m := range mention.FindAllString(linesWith(text, ".md"), -1) {
			_, fromRoot := os.Stat(m)
			_, beside := os.Stat(path.Join(path.Dir(name), m))
			if fromRoot != nil && beside != nil && name != "docs_test.go" {
				t.Errorf("%s: there is no page %s", name, m)
			}
		}
	}
}

// TestCommentsNameFilesAndTestsThatExist: a file or a test that a comment names is often in
// another folder, so any folder will do.
func TestCommentsNameFilesAndTestsThatExist(t *testing.T) {
	all := files(t, ".go")
	exists := map[string]bool{"pkg.go": true} // the host pkg.go.dev
	function := regexp.MustCompile(`(?m)^func (?:\([^)]*\) )?(Test\w+)`)
	for name, text := range all {
		exists[path.Base(name)] = true
		for _, m := range function.FindAllStringSubmatch(linesWith(text, "func "), -1) {
			exists[m[1]] = true
		}
	}
	comment := regexp.MustCompile(`(?m)^\s*//.*$`)
	mention := regexp.MustCompile(`\b(\w+\.go|Test[A-Z]\w+)\b`)
	for name, text := range all {
		for _, m := range mention.FindAllString(strings.Join(comment.FindAllString(linesWith(text, "//"), -1), "\n"), -1) {
			if !exists[m] {
				t.Errorf("%s: there is no %s", name, m)
			}
		}
	}
}

// TestSnippetsAreCompiled: each Go snippet of a page names a file that the compiler
// reads, and its lines stand there in the same order. A line of three dots stands for
// any that are left out.
func TestSnippetsAreCompiled(t *testing.T) {
	for name, p := range pages(t) {
		for _, code := range p.code {
			if code.source == "" {
				continue
			}
			data, err := os.ReadFile(code.source)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			rest := lines(string(data))
			for _, line := range lines(code.text) {
				if line == "..." {
					continue
				}
				for len(rest) > 0 && rest[0] != line {
					rest = rest[1:]
				}
				if len(rest) == 0 {
					t.Errorf("%s: the line %q is not in %s, or not in this order", name, line, code.source)
					break
				}
				rest = rest[1:]
			}
		}
	}
}

// lines are without their indentation; empty ones do not count.
func lines(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// TestPicturesAreSound: GitHub shows a picture as an image of its own, with nothing but
// what is in the file, on a page that is light or dark. One that moves stands still for those
// who want it so.
func TestPicturesAreSound(t *testing.T) {
	for name, text := range files(t, ".svg") {
		if strings.HasPrefix(name, "internal/frontend/ui/page/") {
			continue // a part of the dashboard, which GitHub does not show
		}
		if err := xml.Unmarshal([]byte(text), new(struct{})); err != nil {
			t.Errorf("%s is not well-formed: %v", name, err)
		}
		for _, want := range []string{"viewBox=", `role="img"`, "prefers-color-scheme: dark", `class="page"`, "<text"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s", name, want)
			}
		}
		if strings.Contains(text, "@keyframes") && !strings.Contains(text, "prefers-reduced-motion: reduce") {
			t.Errorf("%s moves, whatever the reader wants", name)
		}
		if len(text) > 200<<10 {
			t.Errorf("%s has %d bytes", name, len(text))
		}
		for _, never := range []string{"href=", "@import", "@font-face", "<script", "url(http"} {
			if strings.Contains(text, never) {
				t.Errorf("%s has %s", name, never)
			}
		}
	}
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	p := readPage("# To try things out: `balsa dev`\n## Two\n```\n# not one\n```\n## Two\n## A *b* [c](d.md), e_f & g-h\n")
	for _, want := range []string{"to-try-things-out-balsa-dev", "two", "two-1", "a-b-c-e_f--g-h"} {
		if !p.anchors[want] {
			t.Errorf("no %s in %v", want, p.anchors)
		}
	}
	if len(p.anchors) != 4 {
		t.Errorf("anchors are %v", p.anchors)
	}
}

// TestGlossaryNamesThingsThatExist looks for what is in its second column, word for word,
// in the sources.
func TestGlossaryNamesThingsThatExist(t *testing.T) {
	words := map[string]bool{}
	for _, text := range files(t, ".go", ".proto") {
		for _, word := range strings.FieldsFunc(strings.ReplaceAll(text, `\t`, " "), func(r rune) bool {
			return r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
		}) {
			words[word] = true
		}
	}
	rows := 0
	for line := range strings.Lines(files(t, ".md")["docs/glossary.md"]) {
		cells := strings.Split(line, " | ")
		if len(cells) < 3 {
			continue
		}
		rows++
		for _, m := range regexp.MustCompile("`-*([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			for part := range strings.SplitSeq(m[1], ".") {
				if !words[part] && !words["--"+part] {
					t.Errorf("docs/glossary.md: there is no %s", m[1])
				}
			}
		}
	}
	if rows < 50 {
		t.Errorf("%d rows", rows)
	}
}

// TestArchitectureNamesEveryPackage: whoever looks for a room finds it in the tables.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	_, sources, err := readModule(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	text := files(t, ".md")["docs/architecture.md"]
	seen := map[string]bool{}
	for _, f := range sources {
		if !f.test && f.pkg != "." && !seen[f.pkg] && !strings.Contains(text, "(../"+f.pkg+")") {
			t.Errorf("docs/architecture.md does not link to %s", f.pkg)
		}
		seen[f.pkg] = true
	}
}

// TestRoomsAreDrawnAsTheyAre: each arrow of the picture is an import.
func TestRoomsAreDrawnAsTheyAre(t *testing.T) {
	module, sources, err := readModule(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string]bool{}
	for _, f := range sources {
		for _, name := range f.imports {
			if !f.test {
				imports[f.pkg+" "+strings.TrimPrefix(strings.TrimPrefix(name, module), "/")] = true
			}
		}
	}
	arrows := regexp.MustCompile(`data-imports="([^"]+)"`).FindAllStringSubmatch(files(t, ".svg")["docs/pictures/rooms.svg"], -1)
	if len(arrows) < 10 {
		t.Fatalf("%d arrows", len(arrows))
	}
	for _, arrow := range arrows {
		if !imports[arrow[1]] {
			t.Errorf("docs/pictures/rooms.svg has an arrow %q, which is no import", arrow[1])
		}
	}
}
