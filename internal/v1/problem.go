package v1

import (
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// A Problem is the body of every error answer (RFC 9457). If a rule denied the request, it has the
// decision, and the reply is the signed form of it: without a reply, no client believes a denial.
type Problem struct {
	Type     string            `json:"type" doc:"Identifies the kind of problem: urn:copyhold:problem:CODE"`
	Title    string            `json:"title" doc:"The status in words"`
	Status   int               `json:"status" doc:"The HTTP status"`
	Detail   string            `json:"detail" doc:"What went wrong and what to do"`
	Instance string            `json:"instance,omitempty" doc:"Identifies this occurrence: urn:copyhold:request:ID, with the id in the server's log"`
	Code     licensing.Code    `json:"code" doc:"The stable code"`
	Field    string            `json:"field,omitempty" doc:"The faulty part of the request"`
	Decision *license.Decision `json:"decision,omitempty" doc:"The decision, if a rule denied the request"`
	Reply    string            `json:"reply,omitempty" doc:"The decision, signed (compact JWS), if the request had a nonce"`
}
