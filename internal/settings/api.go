package settings

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/petal-ml/petal/internal/credential"
	"github.com/petal-ml/petal/internal/regularfile"
)

// API is what the API reads.
type API struct {
	Registry
	Log
	State

	// SecretKey signs tokens: its bytes as they stand. Empty: made at first
	// start and kept in the state directory.
	SecretKey Secret `env:"SECRET_KEY"`
	// SecretKeyPrevious still verifies tokens after a rotation.
	SecretKeyPrevious Secret `env:"SECRET_KEY_PREVIOUS"`
	// SigningAlg is how tokens are signed. EdDSA takes a key that is made and
	// kept in the state directory, and leaves SecretKey unused.
	SigningAlg SigningAlg `env:"TOKEN_SIGNING_ALG" envDefault:"HS256"`
	Database   Database   `env:"DATABASE_URL" envDefault:"sqlite:///./users.db"`

	Address Address `env:"API_ADDRESS" envDefault:":8000"`
	// Username and Password are those of the first user; the password counts
	// only when that user is created, and empty means a generated one.
	Username string `env:"API_USERNAME" envDefault:"student"`
	Password Secret `env:"API_PASSWORD"`

	AccessTokenExpireMinutes Minutes  `env:"ACCESS_TOKEN_EXPIRE_MINUTES" envDefault:"30"`
	ModelPollInterval        Interval `env:"MODEL_POLL_INTERVAL" envDefault:"10s"`
	PredictMaxBytes          ByteSize `env:"PREDICT_MAX_BYTES" envDefault:"65536"`
	BatchMaxBytes            ByteSize `env:"BATCH_MAX_BYTES" envDefault:"16MiB"`

	// AdminAddress is where pprof listens, on this machine only; empty for
	// nowhere.
	AdminAddress Address `env:"ADMIN_ADDRESS"`

	// ReadTimeout is how long a body may bring no byte, WriteTimeout how long an
	// answer may take none, IdleTimeout how long a connection may wait for its next
	// request: longer than a balancer keeps one that it takes for good.
	ReadTimeout  Interval `env:"READ_TIMEOUT" envDefault:"15s"`
	WriteTimeout Interval `env:"WRITE_TIMEOUT" envDefault:"30s"`
	IdleTimeout  Interval `env:"IDLE_TIMEOUT" envDefault:"620s"`
	// DrainMin is how long requests are answered after SIGTERM at least, until
	// everybody has seen that the API is not ready any more.
	DrainMin Delay `env:"DRAIN_MIN" envDefault:"3s"`
	// MaxConnections is how many there may be; 0 for as many as descriptors and
	// memory allow.
	MaxConnections Count `env:"MAX_CONNECTIONS"`
	// RootPath stands before every path where clients ask, behind a proxy.
	RootPath RootPath `env:"ROOT_PATH"`
	// H2C is HTTP/2 without TLS, for a proxy that speaks it.
	H2C Switch `env:"H2C" envDefault:"true"`

	TrustedProxies Proxies `env:"TRUSTED_PROXIES"`
	TLSCertFile    string  `env:"TLS_CERT_FILE"`
	TLSKeyFile     string  `env:"TLS_KEY_FILE"`
}

// TokenLifetime is how long an access token is good for.
func (a *API) TokenLifetime() time.Duration {
	return time.Duration(a.AccessTokenExpireMinutes) * time.Minute
}

// TLS tells whether the API serves HTTPS itself.
func (a *API) TLS() bool { return a.TLSCertFile != "" }

func (a *API) validate() Faults {
	faults := a.Registry.validate()
	faults = append(faults, a.State.validate()...)
	faults = append(faults, checkKey("SECRET_KEY", a.SecretKey)...)
	faults = append(faults, checkKey("SECRET_KEY_PREVIOUS", a.SecretKeyPrevious)...)
	faults = append(faults, a.validateUser()...)
	if a.AccessTokenExpireMinutes < 1 || a.AccessTokenExpireMinutes > maxTokenMinutes {
		faults = append(faults, Fault{
			"ACCESS_TOKEN_EXPIRE_MINUTES", fmt.Sprintf("%d is out of bounds", a.AccessTokenExpireMinutes), minutesRemedy,
		})
	}
	faults = append(faults, a.validateAdmin()...)
	return append(faults, a.validateTLS()...)
}

// CheckServe finds what is no obstacle to commands, but to serving.
func (a *API) CheckServe() error {
	if a.Database.Driver != PostgreSQL || a.SigningAlg != "HS256" || a.SecretKey != "" {
		return nil
	}
	return Fault{
		"SECRET_KEY", "is empty while DATABASE_URL names PostgreSQL, which replicas share: each would sign with a key of its own that the others do not know",
		"write 32 random bytes or more, the same for all replicas, as printed by: openssl rand -base64 48 (or the key in STATE_DIR/secret_key, so that tokens stay good)",
	}
}

func checkKey(variable string, key Secret) Faults {
	if key == "" {
		return nil
	}
	if err := credential.CheckKey([]byte(key.Reveal())); err != nil {
		return fault(variable, err.Error(), "write 32 random bytes or more, as printed by: openssl rand -base64 48")
	}
	return nil
}

func (a *API) validateUser() Faults {
	var faults Faults
	if err := credential.CheckUsername(a.Username); err != nil {
		faults = append(faults, Fault{"API_USERNAME", err.Error(), "choose another name, such as student"})
	}
	if a.Password == "" {
		return faults
	}
	if err := credential.CheckPassword(a.Password.Reveal(), a.Username); err != nil {
		faults = append(faults, Fault{"API_PASSWORD", err.Error(), "choose a longer or rarer one, or leave it empty to have one made"})
	}
	return faults
}

// validateAdmin keeps the profiles of the process, which show its memory, on this
// machine.
func (a *API) validateAdmin() Faults {
	if a.AdminAddress == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(string(a.AdminAddress))
	if ip, parseErr := netip.ParseAddr(host); err == nil && parseErr == nil && ip.IsLoopback() {
		return nil
	}
	return fault("ADMIN_ADDRESS", fmt.Sprintf("%q is not an address of this machine alone", a.AdminAddress), "write 127.0.0.1:6060, or leave it empty")
}

func (a *API) validateTLS() Faults {
	switch {
	case a.TLSCertFile == "" && a.TLSKeyFile == "":
		return nil
	case a.TLSCertFile == "":
		return fault("TLS_CERT_FILE", "is empty while TLS_KEY_FILE is set", "set both or neither")
	case a.TLSKeyFile == "":
		return fault("TLS_KEY_FILE", "is empty while TLS_CERT_FILE is set", "set both or neither")
	}
	return append(readable("TLS_CERT_FILE", a.TLSCertFile), readable("TLS_KEY_FILE", a.TLSKeyFile)...)
}

func readable(variable, path string) Faults {
	f, err := regularfile.Open(path)
	if err != nil {
		return fault(variable, fmt.Sprintf("%q cannot be read: %s", path, plain(err)), "name a readable PEM file")
	}
	_ = f.Close()
	return nil
}

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
