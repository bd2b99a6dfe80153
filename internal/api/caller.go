package api

import (
	"net/url"

	"copyhold.dev/internal/licensing"
)

// CallerBody is what a program says of itself. It is the same in every request:
// members of the body, or parameters where there is no body.
type CallerBody struct {
	Service  string `json:"service,omitempty" maxLength:"200" doc:"What asks, for those who look what depends on what"`
	Version  string `json:"version,omitempty" maxLength:"200" doc:"The program's version"`
	Instance string `json:"instance,omitempty" maxLength:"200" doc:"Which running copy: of the holder, where a lease is acquired or checked"`
	Region   string `json:"region,omitempty" maxLength:"200" doc:"Where it runs"`
}

func callerOf(b CallerBody) licensing.Caller { return licensing.Caller(b) }

// callerParameters are CallerBody for requests without a body.
func callerParameters() []parameter {
	return []parameter{
		{Name: "service", In: "query", Kind: "string", Doc: "What asks"},
		{Name: "version", In: "query", Kind: "string", Doc: "Its version"},
		{Name: "instance", In: "query", Kind: "string", Doc: "Which running copy"},
		{Name: "region", In: "query", Kind: "string", Doc: "Where it runs"},
	}
}

func callerIn(query url.Values) licensing.Caller {
	return licensing.Caller{
		Service: query.Get("service"), Version: query.Get("version"), Instance: query.Get("instance"), Region: query.Get("region"),
	}
}
