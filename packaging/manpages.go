package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
)

// manPagesOf makes pages for man(1) of the reference in docs: balsa(1), and one of each command, as
// balsa-member-add(1). They are gzipped, as the tools of both kinds of packages would do.
func manPagesOf(root, work, version string) (all []entry, err error) {
	pages := map[string]string{}
	for _, file := range []string{"commands.md", "serve.md", "etcd.md"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", "reference", file))
		if err != nil {
			return nil, err
		}
		addPages(pages, string(text))
	}
	for name, page := range pages {
		var zipped bytes.Buffer
		w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
		if err != nil {
			return nil, err
		}
		w.Write(md2man.Render([]byte(fmt.Sprintf("%s 1 \"\" \"balsa %s\" \"Manual of balsa\"\n===\n%s", name, version, page))))
		source := filepath.Join(work, name+".1.gz")
		if err := w.Close(); err != nil {
			return nil, err
		}
		if err := os.WriteFile(source, zipped.Bytes(), 0o644); err != nil {
			return nil, err
		}
		all = append(all, entry{name: "/usr/share/man/man1/" + name + ".1.gz", source: source})
	}
	return all, nil
}

// A page of the reference is about one command (# Reference of balsa serve), or has a section of each
// (## balsa put). What comes before the first of those is about balsa as a whole.
var (
	aboutOne  = regexp.MustCompile(`(?m)^# Reference of (balsa .*)\n`)
	aboutEach = regexp.MustCompile(`(?m)^## (balsa .*)\n`)
	comment   = regexp.MustCompile(`(?s)<!--.*?-->\n*`)
)

func addPages(pages map[string]string, text string) {
	text = comment.ReplaceAllString(text, "")
	if m := aboutOne.FindStringSubmatch(text); m != nil {
		pages[pageName(m[1])] = pageOf(m[1], strings.Replace(text, m[0], "", 1))
		return
	}
	starts := aboutEach.FindAllStringSubmatchIndex(text, -1)
	_, index, _ := strings.Cut(text[:starts[0][0]], "\n|") // behind what is to say of a page that has all commands
	pages["balsa"] = whole + manText("|"+index) + seeAlso
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		command := text[at[2]:at[3]]
		pages[pageName(command)] = pageOf(command, text[at[1]:end])
	}
}

func pageName(command string) string { return strings.ReplaceAll(command, " ", "-") }

const whole = `
## NAME

balsa - a fault-tolerant, linearizable key/value service

## SYNOPSIS

    balsa COMMAND [flags]

## DESCRIPTION

balsa keeps identical key/value databases on several servers, and serves them as long as a majority of the servers can talk to each
other. Each command has a page of its own, as **balsa-put**(1), **balsa-member-add**(1) and **balsa-serve**(1), and takes **--help**.

`

const seeAlso = "\n\n## SEE ALSO\n\n**balsa**(1). **balsa COMMAND --help** explains the exit codes. The manual is in /usr/share/doc/balsa/docs.\n"

// pageOf makes a page of a section: what the command does in a line, how it is written, and all else.
func pageOf(command, section string) string {
	// A page with one command begins with links to other pages. Here they come last.
	intro := ""
	if rest, ok := strings.CutPrefix(strings.TrimSpace(section), "["); ok {
		intro, section, _ = strings.Cut("["+rest, "\n\n")
		intro += "\n\n"
	}
	short, rest, _ := strings.Cut(strings.TrimSpace(section), "\n\n")
	usage, rest, _ := strings.Cut(rest, "\n\n")
	return fmt.Sprintf("\n## NAME\n\n%s - %s\n\n## SYNOPSIS\n\n%s\n\n## DESCRIPTION\n\n%s%s%s",
		pageName(command), strings.TrimSuffix(short, "."), usage, manText(rest), manText("\n\n"+intro), seeAlso)
}

var (
	link  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	table = regexp.MustCompile(`(?m)(?:^\|.*\n?)+`)
	cells = regexp.MustCompile(`(?:^| )\| ?`)
)

// manText is text of the reference for a terminal: links are their words, and tables are lists, since a column
// of a terminal is narrow.
func manText(text string) string {
	text = strings.ReplaceAll(text, "And the [flags of commands that talk to servers](#flags-of-commands-that-talk-to-servers).",
		"And the flags of commands that talk to servers, which **balsa**(1) has.")
	text = link.ReplaceAllString(text, "$1")
	return table.ReplaceAllStringFunc(text, func(rows string) string {
		lines := strings.Split(strings.TrimSpace(rows), "\n")
		head := row(lines[0])
		var list strings.Builder
		for _, line := range lines[min(2, len(lines)):] {
			of := row(line)
			said := ""
			for i, cell := range of[1:] {
				switch name := head[i+1]; {
				case cell == "":
				case name == "default":
					said += " Default: " + cell + "."
				case name == "as in etcd":
					said += " As in etcd: " + cell + "."
				default:
					said = cell + "." + said
				}
			}
			fmt.Fprintf(&list, "%s\n: %s\n\n", of[0], said)
		}
		return list.String()
	})
}

func row(line string) []string {
	all := cells.Split(strings.TrimSuffix(line, "|"), -1)[1:]
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}
