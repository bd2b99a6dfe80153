package api

import (
	"net/url"

	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

func callerOf(b v1.CallerBody) licensing.Caller { return licensing.Caller(b) }

// callerParameters are the members of CallerBody for requests without a body.
func callerParameters() []parameter {
	return []parameter{
		{Name: "service", In: "query", Kind: "string", Doc: "The name of the calling service"},
		{Name: "version", In: "query", Kind: "string", Doc: "The program's version"},
		{Name: "instance", In: "query", Kind: "string", Doc: "The running copy of the program"},
		{Name: "region", In: "query", Kind: "string", Doc: "Where the program runs"},
	}
}

func callerIn(query url.Values) licensing.Caller {
	return licensing.Caller{
		Service: query.Get("service"), Version: query.Get("version"), Instance: query.Get("instance"), Region: query.Get("region"),
	}
}
