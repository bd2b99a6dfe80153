package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A UsedMeter is the usage of a meter in a period, with the current grants of the
// plan. Quantities are in the meter's unit.
type UsedMeter struct {
	License licensing.LicenseID `json:"license"`
	LicenseName
	Meter       string           `json:"meter"`
	Unit        string           `json:"unit,omitempty"`
	Used        string           `json:"used"`
	Quota       string           `json:"quota,omitempty" doc:"Absent if the license no longer has the meter."`
	Events      int64            `json:"events"`
	PeriodStart time.Time        `json:"period_start"`
	PeriodEnd   time.Time        `json:"period_end,omitzero" doc:"Absent if the period has no end."`
	SpentAt     time.Time        `json:"spent_at,omitzero" doc:"When the quota was spent. Absent if it was raised above the usage since."`
	Last        licensing.Caller `json:"last,omitzero" doc:"The program that recorded usage last, as it reported itself."`
}
