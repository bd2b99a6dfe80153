package client

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"copyhold.dev/sdk/license"
)

// A Kind is what an error means to the caller. Its values are the exit statuses of the
// command line, which never change their meaning.
type Kind int

// Kinds of errors.
const (
	Failed      Kind = 1  // the server refused, or something here failed
	Usage       Kind = 2  // the request, its address or a setting is invalid; repeating it does not help
	Denied      Kind = 3  // the license denies it
	Unavailable Kind = 75 // no server answered, or the outcome is unknown: try again
)

// An Error is an error with a kind.
type Error struct {
	Kind   Kind
	reason error
}

func (e *Error) Error() string { return e.reason.Error() }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.reason }

// Errorf returns an *Error with a kind; format and args are those of fmt.Errorf.
func Errorf(k Kind, format string, args ...any) error {
	return &Error{Kind: k, reason: fmt.Errorf(format, args...)}
}

// KindOf returns the kind of the *Error or *Problem in err's chain, and Failed for any other
// error.
func KindOf(err error) Kind {
	var e *Error
	var p *Problem
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.As(err, &p):
		return p.kind()
	}
	return Failed
}

// Codes of problems for which the caller should try again.
const (
	CodeUnavailable = "unavailable"
	CodeUnknown     = "outcome_unknown"
)

// codeUntrusted is the code for a server whose certificate is not trusted. This program sets
// it: nothing was sent, and nothing will be until the settings change.
const codeUntrusted = "untrusted"

// A Problem is an RFC 9457 answer, or takes its place if no Copyhold server answered. Only a
// problem with a decision says anything about a license.
type Problem struct {
	Status   int               `json:"status,omitempty"`
	Code     string            `json:"code,omitempty"`
	Title    string            `json:"title,omitempty"`
	Detail   string            `json:"detail"`
	Field    string            `json:"field,omitempty"`
	Decision *license.Decision `json:"decision,omitempty"`
	Reply    string            `json:"reply,omitempty"`

	Wrong bool   `json:"-"` // the request or its address is invalid; repeating it does not help
	Typed string `json:"-"` // the flag or argument for the field, or ""
}

func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if p.Typed != "" {
		text = named(text, p.Field, p.Typed)
	}
	switch {
	case p.Decision != nil:
		return "denied: " + DenialText(*p.Decision)
	case p.Code == "":
		return text
	}
	return fmt.Sprintf("%s (%s)", text, p.Code)
}

// AsProblem returns the problem in err's chain.
func AsProblem(err error) (*Problem, bool) {
	var p *Problem
	return p, errors.As(err, &p)
}

// kind distinguishes "try again" from "no".
func (p *Problem) kind() Kind {
	switch {
	case p.Decision != nil && p.Decision.Outcome == license.Denied:
		return Denied
	case p.Wrong:
		return Usage
	case p.Code == CodeUnavailable, p.Code == CodeUnknown, p.Code == "rate_limited", p.Status >= 500:
		return Unavailable
	}
	return Failed
}

// named replaces the name of a field in text with the flag or argument that people type.
func named(text, field, typed string) string {
	rest, begins := strings.CutPrefix(text, field)
	if begins && !regexp.MustCompile(`^[\w.-]`).MatchString(rest) {
		return typed + rest
	}
	return typed + ": " + text
}
