package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
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
