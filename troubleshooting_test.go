package balsa_test

import (
	"regexp"
	"strings"
	"testing"
)

// messageOf finds the quoted texts in a cell of a table.
var messageOf = regexp.MustCompile("`([^`]+)`")

// TestTroubleshootingQuotesWhatIsPrinted finds messages of the page that no program prints any more. Those are the
// quoted texts of the columns that say what one sees; commands, flags and names of columns are none.
func TestTroubleshootingQuotesWhatIsPrinted(t *testing.T) {
	sources := files(t, ".go")
	var all strings.Builder
	for name, text := range sources {
		if !strings.HasSuffix(name, "_test.go") {
			all.WriteString(unquoted(text))
		}
	}
	for _, known := range foreignMessages {
		all.WriteString(known + "\n")
	}
	source, quoted := all.String(), 0
	column := -1
	for line := range strings.Lines(files(t, ".md")["docs/troubleshooting.md"]) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "|") {
			column = -1
			continue
		}
		for i, cell := range cells {
			if strings.Trim(cell, "| ") == "you see" {
				column = i
			}
		}
		if column < 0 || column >= len(cells) {
			continue
		}
		for _, m := range messageOf.FindAllStringSubmatch(cells[column], -1) {
			if strings.HasPrefix(m[1], "balsa ") || strings.HasPrefix(m[1], "--") {
				continue
			}
			for part := range strings.SplitSeq(m[1], "...") {
				part = blanks.ReplaceAllString(strings.TrimSpace(part), " ")
				quoted++
				if part != "" && !strings.Contains(source, part) && !strings.Contains(source, memberNames.ReplaceAllString(part, "%s")) {
					t.Errorf("docs/troubleshooting.md: nothing prints %q", part)
				}
			}
		}
	}
	if quoted < 60 {
		t.Errorf("%d messages are quoted", quoted)
	}
}

var (
	// joint is where a long text in the source goes on in its next line.
	joint  = regexp.MustCompile("[\"`] *\\+\\s*[\"`]")
	blanks = regexp.MustCompile(`\s+`)
	// memberNames are what an example has for %s.
	memberNames = regexp.MustCompile(`\bn[0-9](, n[0-9])*\b`)
)

func unquoted(source string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(joint.ReplaceAllString(source, ""), `\"`, `"`)), " ") + "\n"
}

// foreignMessages are those that the operating system prints.
var foreignMessages = []string{"address already in use", "no space left on device", "Killed"}
