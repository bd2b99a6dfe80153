package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

const licenseTag, licensesPath = "license", "/v1/licenses"

// LicensePath identifies a license.
type LicensePath struct {
	ID licensing.LicenseID `path:"id" maxLength:"64"`
}

// licenseWrite is a write on one license that has a body.
type licenseWrite[B any] struct {
	Repeatable
	LicensePath
	Body B
}

// licenseRoutes registers the operations on single licenses and on many.
func (s *server) licenseRoutes() {
	s.licenseListRoutes()
	write(s, route{ID: "issue-license", Method: http.MethodPost, Path: licensesPath, Tag: licenseTag, Permission: access.LicenseIssue, Status: http.StatusCreated,
		Summary: "Grant a plan to a customer", Description: "Only this answer contains the license key."},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			Body v1.IssueRequest
		}) (*reply[v1.Issued], error) {
			return answered(s.Authority.IssueLicense(ctx, p, in.Body))
		})
	write(s, route{ID: "issue-licenses", Method: http.MethodPost, Path: licensesPath + "/batch", Tag: licenseTag, Permission: access.LicenseIssue, Status: http.StatusCreated,
		Body: importBody, Summary: "Issue up to 1,000 licenses, all or none", Description: "With an Idempotency-Key a batch whose answer was lost can be sent again."},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			Body v1.IssueBatchBody
		}) (*reply[v1.IssueBatchAnswer], error) {
			all, err := s.Authority.IssueLicenses(ctx, p, in.Body.Licenses)
			return answered(v1.IssueBatchAnswer{Licenses: all}, err)
		})
	write(s, route{ID: "import-licenses", Method: http.MethodPost, Path: licensesPath + "/import", Tag: licenseTag, Permission: access.LicenseIssue,
		Body: importBody, Summary: "Import the licenses and keys of another system from CSV"},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			Body v1.ImportRequest
		}) (*reply[v1.Imported], error) {
			return answered(s.Authority.ImportLicenses(ctx, p, in.Body))
		})
	s.licenseChangeRoutes()
	s.licenseStatusRoutes()
}

func (s *server) licenseListRoutes() {
	handle(s, route{ID: "list-licenses", Method: http.MethodGet, Path: licensesPath, Tag: licenseTag, Permission: access.LicenseRead, Summary: "List licenses"},
		func(ctx context.Context, p access.Principal, in *struct {
			ListQuery
			Customer   licensing.CustomerID  `query:"customer" maxLength:"64"`
			Product    licensing.ProductName `query:"product" maxLength:"64"`
			Plan       licensing.PlanName    `query:"plan" maxLength:"64"`
			Revision   licensing.RevisionID  `query:"revision" maxLength:"64"`
			Status     string                `query:"status" enum:"active,suspended,revoked"`
			Reference  string                `query:"reference" maxLength:"200"`
			EndsBefore time.Time             `query:"ends_before" doc:"Only licenses that end before this time, sorted by their end"`
		}) (*reply[v1.List[v1.ListedLicense]], error) {
			return listed(s.Authority.Licenses(ctx, p, catalog.LicenseFilter{
				Customer: in.Customer, Product: in.Product, Plan: in.Plan, Revision: in.Revision,
				Status: licensing.Status(in.Status), Reference: in.Reference, EndsBefore: in.EndsBefore,
			}, in.page()))
		})
	handle(s, route{ID: "get-license", Method: http.MethodGet, Path: licensesPath + "/{id}", Tag: licenseTag, Permission: access.LicenseRead, Summary: "Show a license, its current grants and its keys"},
		func(ctx context.Context, p access.Principal, in *LicensePath) (*reply[v1.LicenseDetail], error) {
			l, err := s.Authority.ShowLicense(ctx, p, in.ID)
			if err != nil {
				return nil, err
			}
			programs, err := s.Authority.Programs(ctx, p, in.ID)
			if err != nil {
				return nil, err
			}
			keys, err := s.Authority.Keys(ctx, p, in.ID)
			return answered(v1.LicenseDetail{ShownLicense: l, Keys: keys, Programs: programs}, err)
		})
	handle(s, route{ID: "explain-license", Method: http.MethodGet, Path: licensesPath + "/{id}/why", Tag: licenseTag, Permission: access.Explain, Summary: "Explain the current decisions about a license"},
		func(ctx context.Context, p access.Principal, in *LicensePath) (*reply[v1.Explanation], error) {
			return answered(s.Authority.ExplainLicense(ctx, p, in.ID))
		})
	handle(s, route{ID: "export-license", Method: http.MethodGet, Path: licensesPath + "/{id}/export", Tag: licenseTag, Permission: access.LicenseExport,
		Summary: "Export a license file for a machine without a network, valid until the end of the term"},
		func(ctx context.Context, p access.Principal, in *struct {
			LicensePath
			Format     string   `query:"format" enum:"json,armour" default:"json"`
			Machine    string   `query:"machine" maxLength:"200" doc:"The machine that the file is for, if the license is a trial that each machine has once"`
			Components []string `query:"component,explode" maxItems:"16" doc:"A component of the machine, NAME=HASH, with the salted hash that programs compute"`
		}) (*file, error) {
			machine, err := machineOf(in.Machine, in.Components)
			if err != nil {
				return nil, err
			}
			bundle, err := s.Authority.ExportLicense(ctx, p, in.ID, machine)
			if err != nil {
				return nil, err
			}
			text, err := license.EncodeBundle(bundle)
			if err != nil {
				return nil, err
			}
			if in.Format == "armour" {
				return &file{"text/plain; charset=utf-8", license.Armor(text)}, nil
			}
			return &file{"application/json", text}, nil
		})
	s.huma.OpenAPI().Paths[licensesPath+"/{id}/export"].Get.Responses["200"] = &huma.Response{
		Description: "The license file, JSON or armour", Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{Type: huma.TypeObject}},
			"text/plain":       {Schema: &huma.Schema{Type: huma.TypeString}},
		},
	}
}

// machineOf reads the machine for a license file.
func machineOf(name string, components []string) (request.Holder, error) {
	if name == "" && len(components) == 0 {
		return request.Holder{}, nil
	}
	machine := request.Holder{Kind: licensing.HolderMachine, ID: name, Components: map[string]string{}}
	for _, text := range components {
		component, hash, found := strings.Cut(text, "=")
		if !found || component == "" || hash == "" {
			return machine, licensing.Errorf(licensing.Invalid, "component must have the form NAME=HASH").At("component")
		}
		machine.Components[component] = hash
	}
	if name == "" {
		return machine, licensing.Errorf(licensing.Invalid, "components need a machine; give its name").At("machine")
	}
	return machine, nil
}

// file is an answer that is written unchanged.
type file struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *server) licenseChangeRoutes() {
	write(s, route{ID: "change-license", Method: http.MethodPost, Path: licensesPath + "/{id}/change", Tag: licenseTag, Permission: access.LicenseChange, Summary: "Change what a license grants, now or at its renewal"},
		func(ctx context.Context, p access.Principal, in *licenseWrite[v1.ChangeRequest]) (*reply[v1.License], error) {
			l, err := s.Authority.ChangeLicense(ctx, p, in.ID, in.Body)
			return answered(v1.License(l), err)
		})
	write(s, route{ID: "extend-license", Method: http.MethodPost, Path: licensesPath + "/{id}/extend", Tag: licenseTag, Permission: access.LicenseExtend, Summary: "Move the end of a license without renewing it"},
		func(ctx context.Context, p access.Principal, in *licenseWrite[v1.ExtendRequest]) (*reply[v1.License], error) {
			l, err := s.Authority.ExtendLicense(ctx, p, in.ID, in.Body)
			return answered(v1.License(l), err)
		})
	write(s, route{ID: "renew-license", Method: http.MethodPost, Path: licensesPath + "/{id}/renew", Tag: licenseTag, Permission: access.LicenseRenew, Summary: "Make the scheduled changes and add a term"},
		func(ctx context.Context, p access.Principal, in *licenseWrite[v1.RenewRequest]) (*reply[v1.License], error) {
			l, err := s.Authority.RenewLicense(ctx, p, in.ID, in.Body)
			return answered(v1.License(l), err)
		})
	write(s, route{ID: "transfer-license", Method: http.MethodPost, Path: licensesPath + "/{id}/transfer", Tag: licenseTag, Permission: access.LicenseTransfer, Summary: "Give a license to another customer"},
		func(ctx context.Context, p access.Principal, in *licenseWrite[v1.TransferRequest]) (*reply[v1.Transferred], error) {
			return answered(s.Authority.TransferLicense(ctx, p, in.ID, in.Body))
		})
}

func (s *server) licenseStatusRoutes() {
	turn := func(verb, summary string, fn func(context.Context, access.Principal, licensing.LicenseID, string) (licensing.License, error)) {
		write(s, route{ID: verb + "-license", Method: http.MethodPost, Path: licensesPath + "/{id}/" + verb, Tag: licenseTag, Permission: access.LicenseSuspend, Summary: summary},
			func(ctx context.Context, p access.Principal, in *licenseWrite[v1.ReasonBody]) (*reply[v1.License], error) {
				l, err := fn(ctx, p, in.ID, in.Body.Reason)
				return answered(v1.License(l), err)
			})
	}
	turn("suspend", "Suspend a license until it is reinstated", s.Authority.SuspendLicense)
	turn("reinstate", "Reinstate a suspended license", s.Authority.ReinstateLicense)
	write(s, route{ID: "revoke-license", Method: http.MethodPost, Path: licensesPath + "/{id}/revoke", Tag: licenseTag, Permission: access.LicenseRevoke, Summary: "End a license permanently"},
		func(ctx context.Context, p access.Principal, in *licenseWrite[v1.RevokeRequest]) (*reply[v1.License], error) {
			l, err := s.Authority.RevokeLicense(ctx, p, in.ID, in.Body)
			return answered(v1.License(l), err)
		})
}
