package training

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/petal-ml/petal/internal/dataset"
)

// TableParams are the keys of params.yaml that say how a file is to be read; what
// is left out is found out.
type TableParams struct {
	// Task is "classification", or empty.
	Task string `yaml:"task,omitempty"`
	// Header says whether the first line names the columns.
	Header    *bool  `yaml:"header,omitempty"`
	Delimiter string `yaml:"delimiter,omitempty"`
	Decimal   string `yaml:"decimal,omitempty"` // "." or ","
	Encoding  string `yaml:"encoding,omitempty"`
	// Missing are texts that stand for a missing value, beside the usual ones.
	Missing Missing `yaml:"missing,omitempty"`
	// Columns says what columns are that would be taken for something else.
	Columns map[string]ColumnParams `yaml:"columns,omitempty"`
}

// ColumnParams are what is said of a column: a kind alone, or a mapping.
type ColumnParams struct {
	Kind    string `yaml:"kind"`
	Decimal string `yaml:"decimal,omitempty"`
}

// UnmarshalYAML reads "category" as it reads {kind: category}.
func (c *ColumnParams) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		c.Kind = node.Value
		return nil
	}
	type plain ColumnParams
	return known(node, []string{"kind", "decimal"}, func() error { return node.Decode((*plain)(c)) })
}

// known refuses other keys than these.
func known(node *yaml.Node, keys []string, decode func() error) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a mapping is expected", node.Line)
	}
	for i := 0; i < len(node.Content); i += 2 {
		if key := node.Content[i]; !slices.Contains(keys, key.Value) {
			return fmt.Errorf("line %d: field %s is not known", key.Line, key.Value)
		}
	}
	return decode()
}

// Missing are texts that stand for a missing value: in all columns, or in some.
type Missing struct {
	All []string
	In  map[string][]string
}

// IsZero says whether none is given.
func (m Missing) IsZero() bool { return len(m.All) == 0 && len(m.In) == 0 }

// MarshalYAML writes what UnmarshalYAML reads.
func (m Missing) MarshalYAML() (any, error) {
	if len(m.In) > 0 {
		return m.In, nil
	}
	return m.All, nil
}

// UnmarshalYAML reads a text, a list of texts, or such for columns by name. A
// number is the text that it is written as.
func (m *Missing) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		var err error
		m.All, err = texts(node)
		return err
	}
	m.In = map[string][]string{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		list, err := texts(node.Content[i+1])
		if err != nil {
			return err
		}
		m.In[node.Content[i].Value] = list
	}
	return nil
}

func texts(node *yaml.Node) ([]string, error) {
	if node.Kind == yaml.ScalarNode {
		return []string{node.Value}, nil
	}
	var all []string
	for _, n := range node.Content {
		if node.Kind != yaml.SequenceNode || n.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: a list of texts is expected", node.Line)
		}
		all = append(all, n.Value)
	}
	return all, nil
}

// validateTable reports what cannot be used of the table's parameters.
func (p Params) validateTable(fail func(key, problem, remedy string)) {
	if p.Task != "" && p.Task != "auto" && p.Task != dataset.Classification {
		fail("task", fmt.Sprintf("%q is not known", p.Task), "write classification, or leave it out")
	}
	if len(p.Delimiter) > 1 || p.Delimiter == `"` || p.Delimiter == "\n" {
		fail("delimiter", fmt.Sprintf("%q is no separator", p.Delimiter), `write one character, such as ";" or "\t", or " " for blanks`)
	}
	decimal := func(key, value string) {
		if value != "" && value != "." && value != "," {
			fail(key, fmt.Sprintf("%q is no decimal mark", value), `write "." or ","`)
		}
	}
	decimal("decimal", p.Decimal)
	for _, name := range slices.Sorted(maps.Keys(p.Columns)) {
		c := p.Columns[name]
		decimal("columns: "+name, c.Decimal)
		if c.Kind != "" && c.Kind != "drop" && !slices.Contains(dataset.Kinds, dataset.Kind(c.Kind)) {
			words := make([]string, len(dataset.Kinds))
			for i, k := range dataset.Kinds {
				words[i] = string(k)
			}
			fail("columns: "+name, fmt.Sprintf("%q is no kind", c.Kind), "write one of "+strings.Join(words, ", ")+", drop")
		}
	}
}

// saysForm tells whether a table is described that only [dataset.Look] finds out.
func (p Params) saysForm() bool {
	return p.Header != nil || p.Delimiter != "" || p.Decimal != "" || p.Encoding != "" || !p.Missing.IsZero() || len(p.Columns) > 0
}

// options are how the data are read.
func (p Params) options() dataset.Options {
	opts := dataset.Options{
		Label: p.Label, Drop: slices.Clone(p.Drop), AllowMissing: true,
		Copies:  3, // the split, and what a pipeline makes of it, stand beside the data
		Decimal: p.Decimal, Missing: p.Missing.All, MissingIn: p.Missing.In, Columns: map[string]dataset.Spec{},
		Form: dataset.Form{Delimiter: p.Delimiter, Encoding: p.Encoding},
	}
	if p.Task != "auto" {
		opts.Task = p.Task
	}
	if p.Header != nil {
		opts.HeaderGiven, opts.Form.Header = true, *p.Header
	}
	for _, name := range slices.Sorted(maps.Keys(p.Columns)) {
		if c := p.Columns[name]; c.Kind == "drop" {
			opts.Drop = append(opts.Drop, name)
		} else {
			opts.Columns[name] = dataset.Spec{Kind: dataset.Kind(c.Kind), Decimal: c.Decimal}
		}
	}
	return opts
}

// readTable reads the data as the table that they are. A table of numbers with a
// header, which is quicker to read, is tried first; whatever that does not
// understand is looked at as a whole.
func (s source) readTable(ctx context.Context, p Params, allFaults bool) (*dataset.Dataset, *dataset.Table, error) {
	opts := p.options()
	opts.AllFaults, opts.MD5 = allFaults, s.md5
	var ofNumbers error // what is wrong with the data as a table of numbers
	if !p.saysForm() && p.Label != "" {
		d, err := dataset.Read(ctx, s.file, opts)
		var fault *dataset.Error
		switch {
		case err == nil && d.Padded:
		case err == nil:
			if opts.Task == "" && d.Task() == dataset.Regression {
				return nil, nil, notYet(s.path, d.Label)
			}
			return d, nil, nil
		case !errors.As(err, &fault):
			return nil, nil, err
		}
		ofNumbers = err
	}
	t, err := dataset.Look(ctx, s.file, opts)
	if err == nil && t.Task == dataset.Regression {
		return nil, t, notYet(s.path, t.Label().Name)
	}
	var d *dataset.Dataset
	if err == nil {
		d, err = dataset.ReadTable(ctx, s.file, opts, t)
	}
	if err != nil && ofNumbers != nil && t != nil && t.IsPlain() {
		return nil, nil, ofNumbers
	}
	return d, t, err
}

// notes say what was made of the data that a person would not guess: a line each,
// with what changes it.
func notes(d *dataset.Dataset, t *dataset.Table) []string {
	var lines []string
	leftOut := d.LeftOut
	if t != nil {
		for _, c := range t.Columns {
			if c.Use == dataset.LeftOut {
				leftOut = append(leftOut, c)
			}
		}
	}
	for _, c := range leftOut {
		line := fmt.Sprintf("column %s is left out: %s", c.Name, c.Kind)
		if c.Why != "" {
			line += " (" + c.Why + ")"
		}
		if change := c.ToChange(); change != "" {
			line += "; to keep it: " + change
		}
		lines = append(lines, line)
	}
	if t == nil {
		return lines
	}
	if t.Unlabelled > 0 {
		lines = append(lines, fmt.Sprintf("%d rows without a label are left out", t.Unlabelled))
	}
	return append(lines, t.LabelNotes...)
}

// notYet refuses a label of numbers.
func notYet(path, label string) error {
	return &dataset.Error{
		File: path, Column: label, Problem: "the label is a number to predict, not a class: regression is not trained yet",
		Remedy: "where its numbers are classes, write --task classification",
	}
}

// Set sets one parameter as params.yaml would: KEY=VALUE, the value in YAML. A dot
// leads into a mapping: columns.zip=category.
func (p *Params) Set(setting string) error {
	cut := strings.IndexByte(setting, '=')
	if strings.HasPrefix(setting, "columns.") {
		cut = strings.LastIndexByte(setting, '=') // a name may have one
	}
	if cut <= 0 {
		return &InputError{Where: "--set " + setting, Problem: "has no value", Remedy: "write KEY=VALUE, such as n_splits=3"}
	}
	key, value := setting[:cut], setting[cut+1:]
	fail := func(err error) error {
		return &InputError{Where: "--set " + setting, Problem: strings.Join(strings.Fields(yamlWords.Replace(err.Error())), " "), Remedy: "write KEY=VALUE with a key of params.yaml, such as n_splits=3", Err: err}
	}
	if name, isColumn := strings.CutPrefix(key, "columns."); isColumn {
		return p.setColumn(name, value)
	}
	var node yaml.Node
	if err := yaml.Load([]byte(value), &node); err != nil {
		return fail(err)
	}
	root := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	at := root
	keys := strings.Split(key, ".")
	for i, k := range keys {
		next := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if i == len(keys)-1 {
			next = &node
			if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
				next = node.Content[0]
			}
		}
		at.Content = append(at.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: k}, next)
		at = next
	}
	text, err := yaml.Dump(root)
	if err != nil {
		return fail(err)
	}
	if err := yaml.Load(text, p, yaml.WithKnownFields()); err != nil {
		return fail(err)
	}
	return nil
}

// setColumn sets the kind of a column, or another fact by ".decimal".
func (p *Params) setColumn(name, value string) error {
	columns := maps.Clone(p.Columns)
	if columns == nil {
		columns = map[string]ColumnParams{}
	}
	if base, isDecimal := strings.CutSuffix(name, ".decimal"); isDecimal {
		c := columns[base]
		c.Decimal = value
		columns[base] = c
	} else {
		base = strings.TrimSuffix(name, ".kind")
		c := columns[base]
		c.Kind = value
		columns[base] = c
	}
	p.Columns = columns
	return nil
}
