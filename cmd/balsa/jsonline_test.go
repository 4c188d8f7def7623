package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestLoneSurrogates(t *testing.T) {
	for line, want := range map[string]string{
		`{"key":"a"}`:                "",
		`"\ud83d\ude00"`:             "", // a pair
		`"\uD83D\uDE00\n\\"`:         "",
		`"\ufffd and \\udc80"`:       "", // an escaped backslash before plain text
		`"\udc80"`:                   `\udc80`,
		`"\uDC80"`:                   `\uDC80`,
		`"\ud83d"`:                   `\ud83d`,
		`"\ud83dx\ude00"`:            `\ud83d`,
		`"\ud83d\n\ude00"`:           `\ud83d`,
		`"\ud83d\ud83d\ude00"`:       `\ud83d`,
		`"\ud83d\ude00\ude00"`:       `\ude00`,
		`"\\\udc80"`:                 `\udc80`,
		`"\u"`:                       "", // package json refuses it
		`\`:                          "",
		`{"key":"a","note":"\udfff"`: `\udfff`,
	} {
		if got := loneSurrogate([]byte(line)); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// What package json makes U+FFFD of is found, and nothing else.
func TestLoneSurrogatesAreWhatJSONReplaces(t *testing.T) {
	parts := []string{"a", `\\`, `\n`, `\ud800`, `\uDBFF`, `\udc00`, `\udfff`, `\u0041`, `\"`, "\u00e9"}
	rapid.Check(t, func(t *rapid.T) {
		line := `"` + strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 0, 6).Draw(t, "parts"), "") + `"`
		var text string
		if err := json.Unmarshal([]byte(line), &text); err != nil {
			t.Fatal(line, err)
		}
		if lone := loneSurrogate([]byte(line)); (lone != "") != strings.ContainsRune(text, utf8.RuneError) {
			t.Errorf("%s is %q, and %q is found", line, text, lone)
		}
	})
}
