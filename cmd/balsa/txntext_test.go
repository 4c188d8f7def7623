package main

import (
	"strings"
	"testing"

	"balsa.example/clerk"
)

func TestTxnTextIsRead(t *testing.T) {
	for _, test := range []struct {
		text                        string
		conditions, then, otherwise int
		says                        string // verbs and keys
	}{
		{`put a 1`, 0, 1, 0, `put "a"`},
		{`if version("a") = 1 and value("b") = "x" then put "a" "2"; del "c" else get "a"`, 2, 2, 1, `put "a" del "c" get "a"`},
		{"if missing(a)\nand exists(b) # both\nthen\n  put a 1\n  put b 2;\n\n  ; get c\n", 2, 3, 0, `put "a" put "b" get "c"`},
		{`if mod(prefix "x/")<9 and create(from k)>0 and lease(range a b)!=0 and lease(k)=76cb7f7921b6c5e9 else get range a c`, 4, 0, 1, `get range "a" "c"`},
		{`then put "put" 'a"\n'`, 0, 1, 0, `put "put"`},
		{`put "\xff\"" "" lease 1f prev; put b c keep-lease; del from "" prev; get prefix "" limit 3 keys-only descending`, 0, 4, 0,
			`put "\xff\"" put "b" del from "" get prefix ""`},
		{`(if exists(a) then (put b 1) else get b); get c`, 0, 2, 0, `txn  get "c"`},
		{`put https://host/é?x 100%`, 0, 1, 0, `put "https://host/é?x"`},
	} {
		txn, err := parseTxn(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		var says []string
		for _, op := range append(txn.then, txn.otherwise...) {
			says = append(says, op.verb+" "+op.keys)
		}
		if len(txn.conditions) != test.conditions || len(txn.then) != test.then || len(txn.otherwise) != test.otherwise ||
			strings.Join(says, " ") != test.says {
			t.Errorf("%s: %d conditions, %q", test.text, len(txn.conditions), says)
		}
	}
}

// Each error names the place, and what is expected there.
func TestErrorsOfTxnTextNameThePlace(t *testing.T) {
	for text, says := range map[string]string{
		"":                                "is empty",
		"  # nothing\n":                   "is empty",
		"if version(a) = 1 then":          "",
		"put a":                           "line 1, column 6: the end is not expected here, but a value",
		"put a 1\nput b":                  "line 2, column 6: the end",
		"put a 1 put b 2":                 `line 1, column 9: "put" is not expected here, but ; or a new line`,
		"put é \"x":                       "line 1, column 7: the string that begins here has no \"",
		"put a \"x\ny\"":                  "line 1, column 7: the string that begins here has no \"",
		`put a "\q"`:                      "line 1, column 7: the string that begins here has an unknown escape",
		"put a b=c":                       `line 1, column 8: "=" is not expected here, but ; or a new line`,
		"put a b!":                        "line 1, column 8: ! is not followed by =",
		"put a \xff":                      "line 1, column 7: a word is not UTF-8",
		"put \"\" 1":                      "line 1, column 5: the key is empty",
		"put a else":                      "line 1, column 7: a value is expected here; write \"else\" in quotes",
		"pit a":                           "line 1, column 1: \"pit\" is not an operation; operations are put, get, del and (if ...); did you mean put?",
		"\"put\" a 1":                     `line 1, column 1: the string "put" is not expected here, but put, get, del or (`,
		"else get a":                      "line 1, column 1: there is an else, but no if",
		"if exists(a) put a 1":            `line 1, column 14: "put" is not expected here, but and, then or else`,
		"if versoin(a) = 1 then":          `line 1, column 4: "versoin" is not a condition; conditions begin with version, create, mod, lease, value, missing, exists; did you mean version?`,
		"if version a = 1 then":           `line 1, column 12: "a" is not expected here, but (`,
		"if version(a = 1 then":           `line 1, column 14: "=" is not expected here, but )`,
		"if version(a) 1 then":            `line 1, column 15: "1" is not expected here, but =, !=, < or >`,
		"if version(a) = -1 then":         `line 1, column 17: "-1" is not expected here, but a number`,
		"if version(a) = \"1\" then":      `line 1, column 17: the string "1" is not expected here, but a number`,
		"if lease(a) = xyz then":          `line 1, column 15: "xyz" is not expected here, but the id of a lease`,
		"if exists(prefix a) then":        "line 1, column 4: exists takes one key",
		"get range b a":                   "line 1, column 13: the range is empty",
		"get a limit many":                `line 1, column 13: "many" is not expected here, but how many keys`,
		"(put a 1":                        "line 1, column 9: the end is not expected here, but )",
		"put a 1)":                        `line 1, column 8: ")" is not expected here`,
		strings.Repeat("(", 40) + "get a": "line 1, column 33: transactions are nested more than 32 deep",
	} {
		_, err := parseTxn(text)
		switch {
		case says == "":
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
		case err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), says):
			t.Errorf("%q: %v; want %s", text, err, says)
		}
	}
}

// No text makes the parser panic, or go on forever.
func FuzzTxnText(f *testing.F) {
	f.Add(`if version("a") = 1 and value(prefix b) != 'x' then put "a" "2"; (del c) else get a limit 3`)
	f.Add("put a \"\\xff\"\n# x\nget range a b")
	f.Fuzz(func(t *testing.T, text string) {
		if txn, err := parseTxn(text); err == nil {
			txn.describe(&clerk.TxnResult{}, "")
		} else if exitCode(err) != exitUsage {
			t.Errorf("%q: %v", text, err)
		}
	})
}
