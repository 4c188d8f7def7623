package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// pair is a key with the value to write.
type pair struct {
	key   string
	value []byte
}

// parsePair reads a line of an export. What else than key and value stands in it means nothing.
func parsePair(line []byte) (pair, error) {
	if !utf8.Valid(line) {
		return pair{}, errors.New("it is not UTF-8")
	}
	if half := loneSurrogate(line); half != "" {
		return pair{}, fmt.Errorf("%s is half a character; write bytes that are no text as key_base64 and value_base64", half)
	}
	var fields struct {
		Key         *string `json:"key"`
		KeyBase64   *string `json:"key_base64"`
		Value       *string `json:"value"`
		ValueBase64 *string `json:"value_base64"`
	}
	if err := json.Unmarshal(line, &fields); err != nil {
		var wrong *json.UnmarshalTypeError
		switch {
		case !errors.As(err, &wrong):
			return pair{}, fmt.Errorf("it is not a JSON object: %w", err)
		case wrong.Field == "":
			return pair{}, fmt.Errorf("it is not a JSON object, but of type %s", wrong.Value)
		default:
			return pair{}, fmt.Errorf("%s is of type %s, not text", wrong.Field, wrong.Value)
		}
	}
	key, err := bytesOf("key", fields.Key, fields.KeyBase64)
	if err != nil {
		return pair{}, err
	}
	if len(key) == 0 {
		return pair{}, errors.New("the key is empty")
	}
	value, err := bytesOf("value", fields.Value, fields.ValueBase64)
	return pair{string(key), value}, err
}

// loneSurrogate returns the first escape in a line of JSON that is one half of a character alone, "" if there is none.
// Package json takes it for U+FFFD, so that two keys could become one. Python writes bytes like that.
func loneSurrogate(line []byte) string {
	first := "" // of a pair, if it stands right before
	for i := 0; i < len(line); {
		unit, escape := escapedUnit(line[i:])
		switch {
		case first != "" && !(unit >= 0xdc00 && unit <= 0xdfff):
			return first
		case first != "":
			first = ""
		case unit >= 0xd800 && unit <= 0xdbff:
			first = string(line[i : i+escape])
		case unit >= 0xdc00 && unit <= 0xdfff:
			return string(line[i : i+escape])
		}
		i += escape
	}
	return first
}

// escapedUnit returns the unit of UTF-16 that a text begins with as an escape, 0 if it begins with anything else, and
// how many bytes that takes.
func escapedUnit(text []byte) (unit uint64, bytes int) {
	switch {
	case text[0] != '\\':
		return 0, 1
	case len(text) < 6 || text[1] != 'u':
		return 0, min(2, len(text))
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return 0, 2
	}
	return unit, 6
}

// bytesOf returns what a field has, be it as text or in base64.
func bytesOf(name string, text, encoded *string) ([]byte, error) {
	switch {
	case text == nil && encoded == nil:
		return nil, fmt.Errorf("it has neither %s nor %s_base64", name, name)
	case text != nil && encoded != nil:
		return nil, fmt.Errorf("it has both %s and %s_base64", name, name)
	case text != nil:
		return []byte(*text), nil
	}
	data, err := base64.StdEncoding.DecodeString(*encoded)
	if err != nil {
		return nil, fmt.Errorf("%s_base64 is not base64", name)
	}
	return data, nil
}
