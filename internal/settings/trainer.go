package settings

import (
	"errors"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
)

// Trainer is what the trainer reads.
type Trainer struct {
	Registry
	Log
	State

	Address Address `env:"TRAINER_ADDRESS" envDefault:":8001"`
	// Schedule is when to train again, in cron syntax and UTC; empty means
	// only at start.
	Schedule string `env:"TRAIN_SCHEDULE"`
}

func (t *Trainer) validate() Faults {
	faults := t.Registry.validate()
	faults = append(faults, t.State.validate()...)
	if t.Schedule == "" {
		return faults
	}
	schedule, err := cron.ParseStandard(t.Schedule)
	if err == nil && schedule.Next(time.Now()).IsZero() {
		err = errors.New("it names a day that never comes")
	}
	if err != nil {
		faults = append(faults, Fault{
			"TRAIN_SCHEDULE", fmt.Sprintf("%q is not a schedule: %v", t.Schedule, err),
			`write five cron fields such as "0 3 * * *" (03:00 UTC daily), or leave it empty`,
		})
	}
	return faults
}
