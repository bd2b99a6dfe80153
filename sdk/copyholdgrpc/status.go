package copyholdgrpc

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"copyhold.dev/sdk/license"
)

// domain is the domain of the ErrorInfo in statuses.
const domain = "copyhold.dev"

// code returns the status code for a decision that is not allowed.
func code(d license.Decision) codes.Code {
	if d.Outcome != license.Denied {
		return codes.Unavailable
	}
	switch d.Code {
	case license.CodePoolFull, license.CodeQueueFull, license.CodeQuotaSpent:
		return codes.ResourceExhausted
	}
	return codes.PermissionDenied
}

// refuse converts a decision to a status error.
func refuse(d license.Decision) error {
	s := status.New(code(d), d.String())
	info := &errdetails.ErrorInfo{Reason: strings.ToUpper(d.Code), Domain: domain, Metadata: map[string]string{
		"outcome": string(d.Outcome), "reason": d.Reason, "rule": d.Rule, "state": string(d.State), "next": d.Next,
		"next_at": strconv.FormatInt(d.NextAt, 10), "free_at": strconv.FormatInt(d.FreeAt, 10), "request_id": d.RequestID,
	}}
	details := []protoadapt.MessageV1{info}
	if wait, known := retryAfter(d); known {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
	}
	if with, err := s.WithDetails(details...); err == nil {
		s = with
	}
	return s.Err()
}

// retryAfter returns how long to wait before a retry makes sense.
func retryAfter(d license.Decision) (time.Duration, bool) {
	at := d.FreeTime()
	if d.Code == license.CodeQuotaSpent {
		at = d.NextTime()
	}
	if at.IsZero() {
		return 0, false
	}
	return max(time.Until(at), 0), true
}

// Decision returns the decision that refused a call, and false if err has another cause. The
// decision is unsigned: display it, but do not take anything away because of it.
func Decision(err error) (license.Decision, bool) {
	s, ok := status.FromError(err)
	if !ok {
		return license.Decision{}, false
	}
	for _, detail := range s.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != domain {
			continue
		}
		m := info.GetMetadata()
		next, _ := strconv.ParseInt(m["next_at"], 10, 64)
		free, _ := strconv.ParseInt(m["free_at"], 10, 64)
		return license.Decision{
			Outcome: license.Outcome(m["outcome"]), Code: strings.ToLower(info.GetReason()), Reason: m["reason"], Rule: m["rule"],
			State: license.State(m["state"]), Next: m["next"], NextAt: next, FreeAt: free, RequestID: m["request_id"],
		}, true
	}
	return license.Decision{}, false
}
