// Command promrules says which alerts fire on the series of a test file of promtool.
//
// It reads what `promtool test rules` reads, evaluates with the same engine, and prints what fires at
// the moments that the file asks about: a list for each test, in it a list for each moment. promtool
// itself is built from five times as much, most of it clients of clouds.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/template"
	"github.com/prometheus/prometheus/util/annotations"
	"go.yaml.in/yaml/v3"
)

const definitions = "{{$labels := .Labels}}{{$value := .Value}}"

var (
	syntax = parser.NewParser(parser.Options{})
	quiet  = slog.New(slog.DiscardHandler)
)

type testFile struct {
	RuleFiles []string       `yaml:"rule_files"`
	Interval  model.Duration `yaml:"evaluation_interval"`
	Tests     []test         `yaml:"tests"`
}

type test struct {
	Name     string         `yaml:"name"`
	Interval model.Duration `yaml:"interval"`
	Input    []input        `yaml:"input_series"`
	Moments  []moment       `yaml:"alert_rule_test"`
}

type input struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type moment struct {
	At    model.Duration `yaml:"eval_time"`
	Alert string         `yaml:"alertname"`
}

// firing is one alert that fires.
type firing struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: promrules FILE")
		os.Exit(2)
	}
	answers, err := run(os.Args[1])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answers)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) ([][][]firing, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file testFile
	if err := yaml.Unmarshal(content, &file); err != nil {
		return nil, err
	}
	rules, err := load(filepath.Dir(path), file.RuleFiles)
	if err != nil {
		return nil, err
	}
	var answers [][][]firing
	for _, test := range file.Tests {
		found, err := test.run(rules, time.Duration(file.Interval))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", test.Name, err)
		}
		answers = append(answers, found)
	}
	return answers, nil
}

// load reads rule files as Prometheus does: a wrong expression or template is an error.
func load(folder string, names []string) ([]rulefmt.Rule, error) {
	var rules []rulefmt.Rule
	for _, name := range names {
		if !filepath.IsAbs(name) {
			name = filepath.Join(folder, name)
		}
		groups, errs := rulefmt.ParseFile(name, false, model.UTF8Validation, syntax, quiet)
		if len(errs) > 0 {
			return nil, errors.Join(errs...)
		}
		for _, group := range groups.Groups {
			rules = append(rules, group.Rules...)
		}
	}
	return rules, nil
}

func (t test) run(rules []rulefmt.Rule, step time.Duration) ([][]firing, error) {
	stored, err := t.storage()
	if err != nil {
		return nil, err
	}
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples:       1_000_000,
		Timeout:          time.Minute,
		EnableAtModifier: true,
		Parser:           syntax,
	})
	query := func(ctx context.Context, expression string, at time.Time) (promql.Vector, error) {
		prepared, err := engine.NewInstantQuery(ctx, stored, nil, expression, at)
		if err != nil {
			return nil, err
		}
		defer prepared.Close()
		return prepared.Exec(ctx).Vector()
	}
	var answers [][]firing
	for _, moment := range t.Moments {
		if time.Duration(moment.At)%step != 0 {
			return nil, fmt.Errorf("%s: nothing is evaluated at this moment", moment.At)
		}
		state, known := alert{}, false
		for _, rule := range rules {
			if rule.Alert == moment.Alert {
				state, known = alert{rule: rule, since: map[uint64]time.Time{}}, true
			}
		}
		if !known {
			return nil, fmt.Errorf("there is no alert %s", moment.Alert)
		}
		var found []firing
		for at := time.Duration(0); at <= time.Duration(moment.At); at += step {
			if found, err = state.evaluate(time.Unix(0, 0).UTC().Add(at), query); err != nil {
				return nil, fmt.Errorf("%s: %w", moment.Alert, err)
			}
		}
		answers = append(answers, found)
	}
	return answers, nil
}

// storage holds the input series, the first sample of each at time 0.
func (t test) storage() (storage.Queryable, error) {
	var all []promql.Series
	for _, input := range t.Input {
		metric, values, err := syntax.ParseSeriesDesc(input.Series + " " + input.Values)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", input.Series, err)
		}
		series := promql.Series{Metric: metric}
		for number, value := range values {
			if !value.Omitted {
				at := int64(number) * time.Duration(t.Interval).Milliseconds()
				series.Floats = append(series.Floats, promql.FPoint{T: at, F: value.Value})
			}
		}
		all = append(all, series)
	}
	slices.SortFunc(all, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	choose := func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		var chosen seriesSet
		for _, series := range all {
			if matches(series.Metric, matchers) {
				chosen.rest = append(chosen.rest, series)
			}
		}
		return &chosen
	}
	return storage.QueryableFunc(func(_, _ int64) (storage.Querier, error) {
		return &storage.MockQuerier{SelectMockFunction: choose}, nil
	}), nil
}

// seriesSet hands out series one by one.
type seriesSet struct {
	current promql.Series
	rest    []promql.Series
}

func (s *seriesSet) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.current, s.rest = s.rest[0], s.rest[1:]
	return true
}

func (s *seriesSet) At() storage.Series                { return promql.NewStorageSeries(s.current) }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

func matches(metric labels.Labels, matchers []*labels.Matcher) bool {
	for _, matcher := range matchers {
		if !matcher.Matches(metric.Get(matcher.Name)) {
			return false
		}
	}
	return true
}

// alert is one alerting rule and since when each of its series has held.
type alert struct {
	rule  rulefmt.Rule
	since map[uint64]time.Time
}

// evaluate returns what fires at a time; times have to come in order.
func (a *alert) evaluate(at time.Time, query template.QueryFunc) ([]firing, error) {
	result, err := query(context.Background(), a.rule.Expr, at)
	if err != nil {
		return nil, err
	}
	fires := []firing{}
	held := map[uint64]time.Time{}
	for _, sample := range result {
		told, err := a.tell(sample, at, query)
		if err != nil {
			return nil, err
		}
		hash := labels.FromMap(told.Labels).Hash()
		if _, twice := held[hash]; twice {
			return nil, fmt.Errorf("two series with labels %v", told.Labels)
		}
		held[hash] = at
		if since, before := a.since[hash]; before {
			held[hash] = since
		}
		if at.Sub(held[hash]) >= time.Duration(a.rule.For) {
			fires = append(fires, told)
		}
	}
	a.since = held
	return fires, nil
}

// tell fills the rule's labels and annotations with those of a sample.
func (a *alert) tell(sample promql.Sample, at time.Time, query template.QueryFunc) (firing, error) {
	told := firing{Labels: sample.Metric.Map(), Annotations: map[string]string{}}
	data := template.AlertTemplateData(sample.Metric.Map(), nil, "", sample)
	delete(told.Labels, model.MetricNameLabel)
	for _, part := range []struct{ from, to map[string]string }{
		{a.rule.Labels, told.Labels}, {a.rule.Annotations, told.Annotations},
	} {
		for name, text := range part.from {
			expander := template.NewTemplateExpander(
				context.Background(), strings.Join([]string{definitions, text}, ""), a.rule.Alert,
				data, model.TimeFromUnixNano(at.UnixNano()), query, nil, nil,
			)
			filled, err := expander.Expand()
			if err != nil {
				return firing{}, err
			}
			part.to[name] = filled
		}
	}
	return told, nil
}
