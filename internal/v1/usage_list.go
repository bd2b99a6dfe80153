package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A UsedMeter is what was used of a meter in a period, with what its plan
// grants now. Quantities are written in the meter's unit.
type UsedMeter struct {
	License licensing.LicenseID `json:"license"`
	LicenseName
	Meter       string           `json:"meter"`
	Unit        string           `json:"unit,omitempty"`
	Used        string           `json:"used"`
	Quota       string           `json:"quota,omitempty" doc:"Absent when the license has the meter no more."`
	Events      int64            `json:"events"`
	PeriodStart time.Time        `json:"period_start"`
	PeriodEnd   time.Time        `json:"period_end,omitzero" doc:"Absent when the period has no end."`
	SpentAt     time.Time        `json:"spent_at,omitzero" doc:"When the quota was spent. Absent once it was raised above what is used."`
	Last        licensing.Caller `json:"last,omitzero" doc:"What recorded last, as it said of itself."`
}
