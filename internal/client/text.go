package client

import (
	"net/url"
	"reflect"
	"unicode/utf8"
)

// checkSent refuses text that is not UTF-8, for example from a Latin-1 terminal. Encoding it
// as JSON would replace bytes, so that two names could become one.
func checkSent(r Call) error {
	path, err := url.PathUnescape(r.Path)
	if err != nil || !utf8.ValidString(path) || !isText(reflect.ValueOf(r.Query)) || !isText(reflect.ValueOf(r.Body)) {
		return Errorf(Usage, "an argument is not UTF-8: set the terminal or the system's locale to UTF-8")
	}
	return nil
}

// isText reports whether every string in v is UTF-8.
func isText(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return utf8.ValidString(v.String())
	case reflect.Interface, reflect.Pointer:
		return v.IsNil() || isText(v.Elem())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return true // base64, or JSON decoded from a file
		}
		for i := range v.Len() {
			if !isText(v.Index(i)) {
				return false
			}
		}
	case reflect.Map:
		for members := v.MapRange(); members.Next(); {
			if !isText(members.Key()) || !isText(members.Value()) {
				return false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !isText(v.Field(i)) {
				return false
			}
		}
	}
	return true
}
