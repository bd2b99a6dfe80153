package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// assign converts a value from a source and stores it in a field. Its error states the
// correct form, but not the value, which may be a secret.
func assign(field reflect.Value, value any) error {
	switch field.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(text(value))
		if err != nil {
			return errors.New("use a duration such as 90s, 15m or 1h30m")
		}
		field.SetInt(int64(d))
	case []string:
		list, err := texts(value)
		if err != nil {
			return err
		}
		field.Set(reflect.ValueOf(list))
	case int:
		n, err := strconv.Atoi(strings.ReplaceAll(text(value), "_", ""))
		if err != nil {
			return errors.New("the value must be a whole number")
		}
		field.SetInt(int64(n))
	default:
		if _, scalar := value.(string); !scalar {
			return errors.New("the value must be a string")
		}
		field.SetString(text(value))
	}
	return nil
}

func text(value any) string { return strings.TrimSpace(fmt.Sprint(value)) }

// texts reads a YAML list or a comma-separated string.
func texts(value any) ([]string, error) {
	var list []string
	switch value := value.(type) {
	case string:
		for _, part := range strings.Split(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
	case []any:
		for _, part := range value {
			item, ok := part.(string)
			if !ok {
				return nil, errors.New("the value must be a list of strings")
			}
			list = append(list, item)
		}
	default:
		return nil, errors.New("the value must be a list of strings")
	}
	return list, nil
}
