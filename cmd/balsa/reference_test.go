package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The reference of the commands, docs/reference, is made of their help.

var rewriteReference = flag.Bool("rewrite", false, "write docs/reference anew")

// TestDocumentsOfReferenceAreFresh finds pages of the reference that are not those of the commands
// as they are now. With -rewrite it makes them so.
func TestDocumentsOfReferenceAreFresh(t *testing.T) {
	root := (&program{}).root()
	var most []*cobra.Command
	for _, c := range allCommands(root)[1:] {
		switch {
		case c.Name() == "serve", c.Name() == "etcd", c.Name() == "help", c.Parent().Name() == "completion":
		default:
			most = append(most, c)
		}
	}
	slices.SortFunc(most, func(a, b *cobra.Command) int { return cmp.Compare(a.CommandPath(), b.CommandPath()) })
	pages := map[string]string{
		"commands.md": commandsPage(most),
		"serve.md":    servePage(child(t, root, "serve")),
		"etcd.md":     etcdPage(child(t, root, "etcd")),
	}
	for name, want := range pages {
		path := filepath.Join("..", "..", "docs", "reference", name)
		if *rewriteReference {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("docs/reference/%s is not what the commands say (%v): run make reference", name, err)
		}
	}
}

func child(t *testing.T, root *cobra.Command, name string) *cobra.Command {
	t.Helper()
	c, _, err := root.Find([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// generatedNote is the first line of each page.
const generatedNote = "<!-- Made of the commands themselves by `make reference`. Do not edit. -->\n\n"

func commandsPage(commands []*cobra.Command) string {
	var b strings.Builder
	b.WriteString(generatedNote + `# Reference of the commands

Every command with its flags and their defaults, as ` + "`balsa COMMAND --help`" + ` has them. [commands.md](../commands.md) explains those for keys, and
[what the exit codes mean](../commands.md#exit-codes). ` + "`balsa serve`" + ` has [a page of its own](serve.md), and so has [` + "`balsa etcd`" + `](etcd.md).
Every command also takes ` + "`-h`, `--help`" + `.

| command | does |
|---|---|
`)
	for _, c := range commands {
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), cell(c.Short))
	}
	shared := new(connection).newFlags()
	b.WriteString("\n## Flags of commands that talk to servers\n\nEach may be a variable of the environment instead. The flag goes before the variable.\n\n")
	b.WriteString(flagTable(shared, nil))
	for _, c := range commands {
		b.WriteString("\n## " + c.CommandPath() + "\n\n" + usage(c) + flagsOf(c, shared))
	}
	return b.String()
}

// usage is all that the help of a command says but for the flags.
func usage(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n    %s\n", cell(c.Short), c.UseLine())
	if len(c.Aliases) > 0 {
		fmt.Fprintf(&b, "\nAlso called %s.\n", inCode(c.Aliases))
	}
	text, codes, _ := strings.Cut(c.Long, "Exit codes:\n")
	text = strings.TrimSpace(strings.ReplaceAll(text, strings.TrimSpace(connectionHelp), ""))
	if text != "" && strings.TrimSuffix(text, ".") != c.Short {
		b.WriteString("\n" + markdown(text))
	}
	if c.Example != "" {
		b.WriteString("\nFor example:\n\n" + indented(c.Example))
	}
	b.WriteString(exitCodes(codes))
	return b.String()
}

var exitLine = regexp.MustCompile(`^  (\d+) +(.*)$`)

// exitCodes is a line where the codes mean what they mean everywhere, else a table.
func exitCodes(text string) string {
	if text == "" {
		return ""
	}
	var numbers []string
	var table, rest strings.Builder
	usual := true
	for line := range strings.Lines(strings.TrimSpace("\n" + text)) {
		m := exitLine.FindStringSubmatch("  " + strings.TrimSpace(line))
		if m == nil {
			rest.WriteString(line)
			continue
		}
		code, _ := strconv.Atoi(m[1])
		usual = usual && exitMeanings[code] == m[2]
		numbers = append(numbers, m[1])
		fmt.Fprintf(&table, "| %s | %s |\n", m[1], cell(m[2]))
	}
	out := "\n| exit code | means |\n|---|---|\n" + table.String()
	if usual {
		out = "\n[Exit codes](../commands.md#exit-codes): " + strings.Join(numbers, ", ") + ".\n"
	}
	if rest.Len() > 0 {
		out += "\n" + markdown(rest.String())
	}
	return out
}

// flagsOf is the table of the flags of a command that are not shared with others.
func flagsOf(c *cobra.Command, shared *pflag.FlagSet) string {
	var out string
	if table := flagTable(c.LocalFlags(), shared); table != "" {
		out = "\n" + table
	}
	if f := c.Flags().Lookup("endpoints"); f != nil {
		out += "\nAnd the [flags of commands that talk to servers](#flags-of-commands-that-talk-to-servers).\n"
	}
	return out
}

func flagTable(flags, but *pflag.FlagSet) string {
	var rows strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Hidden || but != nil && but.Lookup(f.Name) != nil && but.Lookup(f.Name).Usage == f.Usage {
			return
		}
		_, means := pflag.UnquoteUsage(f)
		fmt.Fprintf(&rows, "| %s | %s | %s |\n", flagName(f), defaultOf(f), cell(means))
	})
	if rows.Len() == 0 {
		return ""
	}
	return "| flag | default | means |\n|---|---|---|\n" + rows.String()
}

func flagName(f *pflag.Flag) string {
	kind, _ := pflag.UnquoteUsage(f)
	name := "`--" + strings.TrimSpace(f.Name+" "+kind) + "`"
	if f.Shorthand != "" {
		name = "`-" + f.Shorthand + "`, " + name
	}
	return name
}

// defaultOf is empty where the default is to be without a value.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "[]", "0", "0s", "false":
		return ""
	}
	return "`" + strings.Trim(f.DefValue, "[]") + "`"
}

func servePage(c *cobra.Command) string {
	return generatedNote + `# Reference of balsa serve

[configuration.md](../configuration.md) explains how flags, variables and the file go together.

` + usage(c) + `
## Flags

The flag ` + "`--some-flag` is the variable `BALSA_SOME_FLAG` and the key `some-flag` of the file. Where the last column says so it means the same in etcd;" + `
then ` + "`ETCD_SOME_FLAG`" + ` is read, too. A name in the last column is a key of etcd's file, which is also taken.

` + serveFlags(c)
}

func serveFlags(c *cobra.Command) string {
	sections := map[string]string{}
	for section, keys := range transportSections {
		for key, name := range keys {
			sections[name] = "`" + section + ": " + key + "`"
		}
	}
	var b strings.Builder
	b.WriteString("| flag | default | means | as in etcd |\n|---|---|---|---|\n")
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		etcd := ""
		if _, ok := f.Annotations[sharedWithEtcd]; ok {
			etcd = cmp.Or(sections[f.Name], "yes")
		}
		_, means := pflag.UnquoteUsage(f)
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", flagName(f), defaultOf(f), cell(means), etcd)
	})
	return b.String()
}

func etcdPage(c *cobra.Command) string {
	var nothing []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden && !strings.HasPrefix(f.Name, "test.") {
			nothing = append(nothing, "--"+f.Name)
		}
	})
	return generatedNote + `# Reference of balsa etcd

[etcd.md](../etcd.md#flags) explains which flags of etcd do what here.

` + usage(c) + `
## Flags

The flag ` + "`--some-flag` is the variable `ETCD_SOME_FLAG` and the key `some-flag`" + ` of the file.

` + flagTable(c.Flags(), nil) + `
## Flags of etcd that do nothing, or are refused

` + inCode(nothing) + ".\n"
}

func inCode(names []string) string { return "`" + strings.Join(names, "`, `") + "`" }

func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		if line = strings.TrimRight(strings.TrimPrefix(line, "  "), "\n"); line != "" {
			line = "    " + line
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// markdown makes paragraphs of a help text, in which lines that begin with spaces are code.
func markdown(text string) string {
	var b strings.Builder
	code := false
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimRight(line, "\n")
		was := code
		blank := strings.HasSuffix(b.String(), "\n\n")
		if code = strings.HasPrefix(line, "  ") || code && line == ""; code != was && !blank {
			b.WriteString("\n")
		}
		if code {
			b.WriteString(strings.TrimRight("  "+line, " ") + "\n")
		} else {
			b.WriteString(cell(line) + "\n")
		}
	}
	return b.String()
}

// words are what stands in code in prose: flags, variables, and what is quoted.
var words = regexp.MustCompile(`"balsa [^"]*"|"ulimit -n"|--[a-z][a-z-]*|\$[A-Z_]+|\bBALSA_[A-Z_]+(=[a-z]+)?|\bETCD_[A-Z_]+`)

// cell is text for a cell of a table, or a line of a paragraph.
func cell(text string) string {
	var b strings.Builder
	for {
		m := words.FindStringIndex(text)
		if m == nil {
			return b.String() + plain(text)
		}
		b.WriteString(plain(text[:m[0]]) + "`" + strings.Trim(text[m[0]:m[1]], `"`) + "`")
		text = text[m[1]:]
	}
}

var plain = strings.NewReplacer("|", `\|`, "<", `\<`, "*", `\*`, "[", `\[`, "]", `\]`).Replace
