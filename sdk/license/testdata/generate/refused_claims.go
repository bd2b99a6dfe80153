package main

import (
	"copyhold.dev/sdk/license"
)

func (w *world) refuseClaims() {
	w.noLicense("Version", "ver 2", "a later format", `"ver":1`, `"ver":2`)
	w.noLicense("Version", "ver 0", "no format", `"ver":1`, `"ver":0`)
	w.noLicense("Version", "ver missing", "no format", `"ver":1,`, ``)
	w.noLicense("Must", "must unknown", "a claim that this version does not understand", `"ver":1`, `"ver":1,"must":["seats2"],"seats2":1`)
	w.noLicense("Must", "must unknown among known", "each has to be understood", `"ver":1`, `"ver":1,"must":["exp","seats2"]`)
	w.noLicense("Must", "must of another kind", "a lease's claim in a license", `"ver":1`, `"ver":1,"must":["units"]`)
	w.noLicense("Must", "must by another case", "names are exact", `"ver":1`, `"ver":1,"must":["EXP"]`)
	w.noLicense("Issuer", "iss of staging", "another environment", `production"`, `staging"`)
	w.noLicense("Issuer", "iss with a slash", "names are exact", `production"`, `production/"`)
	w.noLicense("Format", "iss missing", "whose?", `"iss":"`+issuer+`",`, ``)
	w.noLicense("Audience", "aud of another product", "another product", `"aud":["lathe"]`, `"aud":["mill"]`)
	w.noLicense("Audience", "aud a prefix", "names are exact", `"aud":["lathe"]`, `"aud":["lath","lathe2"]`)
	w.noLicense("Format", "aud missing", "an absent list grants nothing", `"aud":["lathe"],`, ``)
	w.noLicense("Format", "aud empty", "an empty list grants nothing", `"aud":["lathe"]`, `"aud":[]`)
	w.noLicense("Format", "sub missing", "which license?", `"sub":"lic_1",`, ``)
	w.noLicense("Format", "jti missing", "which document?", `"jti":"doc_1",`, ``)
	w.noLicense("Format", "iat missing", "since when?", `"iat":1799913600,`, ``)
	w.noLicense("Format", "iat negative", "before 1970", `"iat":1799913600`, `"iat":-1`)
	w.noLicense("Format", "epoch negative", "counted from 0", `"seq":[1,7]`, `"seq":[-1,7]`)
	w.noLicense("Format", "counter negative", "counted from 0", `"seq":[1,7]`, `"seq":[1,-7]`)
	w.noLicense("Dates", "nbf before iat", "iat <= nbf", `"nbf":1799913600`, `"nbf":1799913599`)
	w.noLicense("Dates", "exp at nbf", "nbf < exp", `"nbf":1799913600`, `"nbf":1801728000`)
	w.noLicense("Dates", "exp missing", "there is no document without an end", `"exp":1801728000,`, ``)
	w.noLicense("Dates", "refresh before iat", "iat <= refresh", `"refresh":[1800086400,`, `"refresh":[1799913599,`)
	w.noLicense("Dates", "refresh backwards", "a window", `"refresh":[1800086400,1800172800]`, `"refresh":[1800086400,1800086399]`)
	w.noLicense("Dates", "refresh missing", "when to refresh?", `"refresh":[1800086400,1800172800],`, ``)
	w.noLicense("Dates", "stale before refresh", "refresh <= stale", `"stale":1800259200`, `"stale":1800172799`)
	w.noLicense("Dates", "due before stale", "stale <= due", `"due":1800518400`, `"due":1800259199`)
	w.noLicense("Dates", "exp before due", "due <= exp", `"exp":1801728000`, `"exp":1800518399`)
	w.noLicense("Dates", "degraded before exp", "exp <= degraded", `"degraded":1804320000`, `"degraded":1801727999`)
}

func (w *world) refuseLicenses() {
	w.noLicense("Format", "status missing", "active, suspended or revoked", `"status":"active",`, ``)
	w.noLicense("Format", "status unknown", "active, suspended or revoked", `"status":"active"`, `"status":"ACTIVE"`)
	w.noLicense("Format", "feature without a value", "worth what?", `{"value":true}`, `{}`)
	w.noLicense("Format", "fallback without a value", "worth what?", `"features"`, `"fallback":{"export":{}},"features"`)
	w.noLicense("Format", "feature then without until", "after which end?", `{"value":true}`, `{"value":true,"then":false}`)
	w.noLicense("Format", "capacity negative", "counted from 0", `"features"`, `"pools":{"seats":{"capacity":-1,"holder":"user"}},"features"`)
	w.noLicense("Format", "overdraft negative", "counted from 0", `"features"`, `"pools":{"seats":{"capacity":1,"overdraft":-1,"holder":"user"}},"features"`)
	w.noLicense("Format", "quota negative", "counted from 0", `"features"`, `"meters":{"calls":{"unit":"call","quota":-1}},"features"`)
	w.noLicense("Format", "scale negative", "counted from 0", `"features"`, `"meters":{"calls":{"unit":"call","quota":1,"scale":-1}},"features"`)
	w.noLicense("Dates", "term backwards", "start <= end", `"term":{}`, `"term":{"start":1800000000,"end":1799999999}`)
	w.noLicense("Dates", "renewal grace before the end", "end <= renewal grace", `"term":{}`, `"term":{"end":1800000000,"renewal_grace_end":1799999999}`)
	w.noLicense("Format", "binding needs more than it has", "2 of 1", `"features"`, `"cnf":{"kind":"machine","holder":"m","need":2,"components":{"a":"1"}},"features"`)
	w.noLicense("Format", "binding needs less than none", "-1 of 1", `"features"`, `"cnf":{"kind":"machine","holder":"m","need":-1,"components":{"a":"1"}},"features"`)
}

func (w *world) refuseOthers() {
	try := func(reason, op, name, why string, typ license.Type, doc any, edits ...string) {
		w.no(reason, Vector{Name: op + ": " + name, Op: op, Why: why, Nonce: "n-2", Doc: w.key.as(typ, text(doc, edits...))})
	}
	l := func(reason, name, why string, edits ...string) {
		try(reason, "lease", name, why, license.TypeLease, lease(), edits...)
	}
	l("Format", "sub missing", "of which license?", `"sub":"lic_1",`, ``)
	l("Dates", "due before stale", "stale <= due", `"due":1800000000`, `"due":1799913629`)
	l("Format", "lease missing", "which lease?", `"lease":"lea_1",`, ``)
	l("Format", "pool missing", "of which pool?", `"pool":"seats",`, ``)
	l("Format", "holder missing", "whose?", `"holder":"ada",`, ``)
	l("Format", "no units", "at least one", `"units":2`, `"units":0`)
	l("Format", "negative units", "at least one", `"units":2`, `"units":-2`)
	l("Format", "generation negative", "counted from 0", `"generation":3`, `"generation":-1`)
	l("Format", "incarnation negative", "counted from 0", `"generation":3`, `"generation":3,"incarnation":-1`)
	l("Format", "binding needs more than it has", "2 of 0", `"generation":3`, `"generation":3,"cnf":{"kind":"m","holder":"h","need":2}`)
	l("Audience", "aud of another product", "another product", `"aud":["lathe"]`, `"aud":["mill"]`)
	l("Issuer", "iss of staging", "another environment", `production"`, `staging"`)
	l("Chain", "of an edge without its chain", "an edge's lease needs the edge's chain", `"generation":3`, `"generation":3,"node":"edge_1"`)
	r := func(reason, name, why string, edits ...string) {
		try(reason, "reply", name, why, license.TypeReply, reply(), edits...)
	}
	r("Format", "sub missing", "of which license?", `"sub":"lic_1",`, ``)
	r("Format", "time missing", "the server's time", `"time":1799913600`, `"time":0`)
	r("Format", "outcome unknown", "allowed, denied or unavailable", `"outcome":"denied"`, `"outcome":"maybe"`)
	r("Format", "outcome missing", "an absent outcome is none", `"outcome":"denied",`, ``)
	r("Nonce", "another nonce", "a replayed answer", `"nonce":"n-2"`, `"nonce":"n-1"`)
	r("Nonce", "nonce missing", "an answer to nobody", `"nonce":"n-2",`, ``)
	r("Nonce", "nonce longer", "nonces are exact", `"nonce":"n-2"`, `"nonce":"n-22"`)
	r("Issuer", "iss of staging", "another environment", `production"`, `staging"`)
	w.no("Nonce", Vector{Name: "reply: question without a nonce", Op: "reply", Why: "nothing would prove that it is fresh",
		Doc: w.key.as(license.TypeReply, text(reply(), `"nonce":"n-2"`, `"nonce":""`))})
	w.no("Document", Vector{Name: "reply: covers another document", Op: "covers", Why: "its hash differs", Nonce: "n-2", Held: w.license(),
		Doc: w.key.as(license.TypeReply, text(reply(), `"nonce"`, `"document":"`+license.DocumentHash("another")+`","nonce"`))})
	w.no("Document", Vector{Name: "reply: covers no document", Op: "covers", Why: "it names none", Nonce: "n-2", Held: w.license(),
		Doc: w.key.as(license.TypeReply, text(reply()))})
	v := func(reason, name, why string, edits ...string) {
		try(reason, "revocations", name, why, license.TypeRevocations, revocations(), edits...)
	}
	v("Format", "jti missing", "which list?", `"jti":"doc_4",`, ``)
	v("Format", "subject missing", "of what?", `"sub":"lic_9",`, ``)
	v("Format", "time missing", "since when?", `"at":1799827200,`, ``)
	v("Audience", "aud of another product", "for another product only", `"iat"`, `"aud":["mill"],"iat"`)
	o := func(reason, name, why string, edits ...string) {
		try(reason, "override", name, why, license.TypeOverride, override(), edits...)
	}
	o("Format", "sub missing", "for which license?", `"sub":"lic_1",`, ``)
	o("Format", "nobody approved", "by whom?", `"approved":["ada","bob"]`, `"approved":[]`)
	o("Dates", "due before stale", "stale <= due", `"due":1800518400`, `"due":1800259199`)
	b := func(reason, name, why string, edits ...string) {
		try(reason, "bulletin", name, why, license.TypeBulletin, bulletin(), edits...)
	}
	b("Format", "jti missing", "which bulletin?", `"jti":"doc_6",`, ``)
	b("Format", "aud missing", "an absent list grants nothing", `"aud":["lathe"],`, ``)
	b("Audience", "aud of another product", "another product", `"aud":["lathe"]`, `"aud":["mill"]`)
	b("Dates", "due before stale", "stale <= due", `"due":1800518400`, `"due":1800259199`)
}

func (w *world) refuseTimes() {
	at := func(reason, name, why string, v Vector) {
		v.Name, v.Op, v.Why = "time: "+name, "license", why
		if v.Doc == "" {
			v.Doc = w.license()
		}
		w.no(reason, v)
	}
	at("NotYet", "before nbf", "more than 60 s ahead", Vector{Now: now - day, Doc: w.license(`"nbf":1799913600`, `"nbf":1799913661`)})
	at("NotYet", "before nbf, clock far behind", "iat is signed time, nbf still later", Vector{Now: 1, Doc: w.license(`"nbf":1799913600`, `"nbf":1799913661`)})
	at("Expired", "at degraded", "even the fallback has ended", Vector{Now: 1804320000})
	at("Expired", "long after", "even the fallback has ended", Vector{Now: now + 600*day})
	at("KeySetExpired", "key set expired", "a new document under an old key set", Vector{Trust: "expired"})
	at("KeySetExpired", "key set expires now", "a new document at that very second", Vector{Now: now - day, Trust: "expired"})
	at("KeySetExpired", "known, issued after the key set expired", "nobody can have accepted it", Vector{Trust: "expired", Known: true})
	at("KeyDates", "issued before sign_from", "the key did not sign yet", Vector{Doc: w.later.as(license.TypeLicense, text(minimal()))})
	at("KeyDates", "issued a second before sign_from", "the key did not sign yet", Vector{Doc: w.key.as(license.TypeLicense, shifted(-29*day-1))})
	at("KeyDates", "issued at sign_until", "the key signed no more", Vector{Doc: w.earlier.as(license.TypeLicense, shifted(-29*day))})
	at("KeyDates", "ends after trust_until", "the key is not trusted as long", Vector{Doc: w.license(`"degraded":1804320000`, `"degraded":1839744001`)})
	at("Withdrawn", "key withdrawn, issued before", "iat alone is not believed any more", Vector{Doc: w.gone.as(license.TypeLicense, shifted(-2*day))})
	at("Withdrawn", "key withdrawn, issued after", "a thief's", Vector{Doc: w.gone.as(license.TypeLicense, text(minimal()))})
	at("Withdrawn", "key withdrawn, known, issued at the cut-off", "a thief's, put into the cache", Vector{Known: true, Doc: w.gone.as(license.TypeLicense, shifted(-day))})
	ops := []struct {
		op  string
		typ license.Type
		doc any
	}{{"lease", license.TypeLease, lease()}, {"revocations", license.TypeRevocations, revocations()},
		{"override", license.TypeOverride, override()}, {"bulletin", license.TypeBulletin, bulletin()}}
	for _, o := range ops {
		doc := w.key.as(o.typ, text(o.doc))
		w.no("Expired", Vector{Name: "time: " + o.op + " expired", Op: o.op, Why: "its last date has passed", Now: now + 80*day, Doc: doc})
		w.no("KeySetExpired", Vector{Name: "time: " + o.op + ", key set expired", Op: o.op, Why: "a new document under an old key set", Trust: "expired", Doc: doc})
		w.no("Withdrawn", Vector{Name: "time: " + o.op + ", key withdrawn", Op: o.op, Why: "a thief's", Doc: w.gone.as(o.typ, text(o.doc))})
	}
	doc := w.key.as(license.TypeReply, text(reply()))
	w.no("KeySetExpired", Vector{Name: "time: reply, key set expired", Op: "reply", Why: "a new document under an old key set", Nonce: "n-2", Trust: "expired", Doc: doc})
	w.no("Withdrawn", Vector{Name: "time: reply, key withdrawn", Op: "reply", Why: "a thief's", Nonce: "n-2", Doc: w.gone.as(license.TypeReply, text(reply()))})
	w.no("KeyDates", Vector{Name: "time: reply issued before sign_from", Op: "reply", Why: "the key did not sign yet", Nonce: "n-2", Doc: w.later.as(license.TypeReply, text(reply()))})
}
