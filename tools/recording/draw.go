package main

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"
)

const (
	width      = 900
	lineHeight = 17
	margin     = 16
	hold       = 4 * time.Second // how long the end stays
)

// pane is one terminal of the picture. Its lines stand one below the other. Where they fit, a cover over them moves
// down; else they move up behind a window, so that whatever is below the newest line is outside.
type pane struct {
	id, title string
	rows      int
	lines     []line
}

// draw returns the picture: HTML's escapes are those of XML, too.
func draw(operator, client []line, took time.Duration) []byte {
	panes := []pane{{"operator", "an operator", len(operator), operator}, {"client", "a client that writes all the time", 8, client}}
	total := took + hold
	var b, styles strings.Builder
	y := 44
	for _, p := range panes {
		styles.WriteString(p.motion(total))
		b.WriteString(p.draw(y))
		y += 24 + p.rows*lineHeight + 2*margin
	}
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-labelledby="title what">
<title id="title">Kill the leader</title>
<desc id="what">A recording of two terminals. In one a client writes all the time. In the other the leader of three servers is killed. The other two elect a leader, the writes go on, and the server that was killed comes back.</desc>
<!-- Made of a real run by tools/recording. -->
<style>
  text { font: 12.6px ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; fill: #1f2328; white-space: pre }
  .page { fill: #ffffff }
  .title { font: 600 15px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }
  .name { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #59636e }
  .box { fill: #f6f8fa; stroke: #d1d9e0 }
  .cover { fill: #f6f8fa }
  .said { font-weight: 700 }
  .good { fill: #1a7f37; font-weight: 700 }
  .bad { fill: #d1242f; font-weight: 700 }
  .slow { fill: #9a6700; font-weight: 700 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .page { fill: #0d1117 }
    .name { fill: #9198a1 }
    .box { fill: #151b23; stroke: #3d444d }
    .cover { fill: #151b23 }
    .good { fill: #3fb950 }
    .bad { fill: #f85149 }
    .slow { fill: #d29922 }
  }
%[3]s  @media (prefers-reduced-motion: reduce) { #operator, #client { animation: none } }
</style>
<rect class="page" width="%[1]d" height="%[2]d" rx="8"/>
<text class="title" x="20" y="28">Three servers, and the leader is killed: a recording, in real time</text>
%[4]s</svg>
`, width, y, styles.String(), b.String())
}

// motion is the animation of a pane. Without one its end is shown.
func (p pane) motion(total time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  #%s { transform: translateY(%dpx); animation: %s %.2fs step-end infinite }\n", p.id, p.offset(len(p.lines)), p.id, total.Seconds())
	fmt.Fprintf(&b, "  @keyframes %s {\n    0%% { transform: translateY(%dpx) }\n", p.id, p.offset(0))
	for i, l := range p.lines {
		if i+1 < len(p.lines) && p.lines[i+1].at-l.at < 10*time.Millisecond {
			continue // they appear together
		}
		fmt.Fprintf(&b, "    %.3f%% { transform: translateY(%dpx) }\n", 100*l.at.Seconds()/total.Seconds(), p.offset(i+1))
	}
	return b.String() + "  }\n"
}

// offset is how far the cover, or the lines, are moved when so many are seen.
func (p pane) offset(seen int) int {
	if p.fits() {
		return seen * lineHeight
	}
	return (p.rows - seen) * lineHeight
}

func (p pane) fits() bool { return len(p.lines) <= p.rows }

func (p pane) draw(y int) string {
	var lines strings.Builder
	for i, l := range p.lines {
		fmt.Fprintf(&lines, "<text x=\"10\" y=\"%d\">%s</text>\n", (i+1)*lineHeight-4, coloured(l.text))
	}
	height := p.rows * lineHeight
	inside := fmt.Sprintf("<g id=\"%s\">\n%s</g>", p.id, lines.String())
	if p.fits() {
		inside = fmt.Sprintf("%s<rect id=\"%s\" class=\"cover\" width=\"%d\" height=\"%d\"/>", lines.String(), p.id, width-34, height)
	}
	return fmt.Sprintf(`<text class="name" x="20" y="%d">%s</text>
<rect class="box" x="16" y="%d" width="%d" height="%d" rx="5"/>
<svg x="17" y="%d" width="%d" height="%d" overflow="hidden">
%s
</svg>
`, y+14, p.title, y+22, width-32, height+margin, y+22+margin/2, width-34, height, inside)
}

// marks are what stands out: the leader, what is down, and puts that waited.
var marks = regexp.MustCompile(`\bleader( )|\bunreachable\b|kill -9 \S+ n\d\.pid\)|\b\d{3,} ms`)

func coloured(text string) string {
	var b strings.Builder
	rest := text
	for m := marks.FindStringIndex(rest); m != nil; m = marks.FindStringIndex(rest) {
		mark, class := rest[m[0]:m[1]], "bad"
		switch {
		case strings.HasPrefix(mark, "leader"):
			class = "good"
		case strings.HasSuffix(mark, "ms"):
			class = "slow"
		}
		fmt.Fprintf(&b, `%s<tspan class="%s">%s</tspan>`, html.EscapeString(rest[:m[0]]), class, html.EscapeString(mark))
		rest = rest[m[1]:]
	}
	b.WriteString(html.EscapeString(rest))
	if strings.HasPrefix(text, "$ ") || strings.HasPrefix(text, "> ") {
		return `<tspan class="said">` + b.String() + `</tspan>`
	}
	return b.String()
}
