package licensing

import "time"

// A LicenseRow is a license in a file that lists licenses to change. Date is a date that belongs to
// the license, or zero. A row with Err, which is Invalid, names no license or a wrong date.
type LicenseRow struct {
	Line    int
	License LicenseID
	Date    time.Time
	Err     error
}

// ReadLicenseRows reads CSV with the column license and, unless date is empty, an optional column
// with that name. Everything else is as for ReadImport. Rows are in the order of their lines.
func ReadLicenseRows(text, date string) ([]LicenseRow, error) {
	format := rowFormat{columns: []string{"license"}, required: 1}
	if date != "" {
		format.columns = append(format.columns, date)
	}
	read, faults, err := readRows(text, format)
	if err != nil {
		return nil, err
	}
	rows := make([]LicenseRow, 0, len(read)+len(faults))
	for _, r := range read {
		for len(faults) > 0 && faults[0].Line < r.Line {
			rows, faults = append(rows, LicenseRow{Line: faults[0].Line, Err: faults[0].Err}), faults[1:]
		}
		row := LicenseRow{Line: r.Line, License: LicenseID(r.Fields["license"])}
		if row.License == "" {
			row.Err = Errorf(Invalid, "the row has no license")
		} else if value := r.Fields[date]; value != "" && date != "" {
			row.Date, row.Err = ParseDate(value)
		}
		rows = append(rows, row)
	}
	for _, f := range faults {
		rows = append(rows, LicenseRow{Line: f.Line, Err: f.Err})
	}
	return rows, nil
}
