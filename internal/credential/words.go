package credential

import "slices"

// isCommonWord looks a lower-case word up in the words that passwords are made
// of: names, animals, sports, colours, "welcome" and its like, and the words of
// this trade.
func isCommonWord(word string) bool {
	_, found := slices.BinarySearch(commonWords, word)
	return found
}

// commonWords is sorted.
var commonWords = []string{
	"abc", "abcd", "abcdef", "access", "admin", "administrator", "alex", "alexander", "alexis", "always", "amanda",
	"america", "american", "and", "andrea", "andrew", "android", "angel", "angela", "angels", "anna", "anthony",
	"anything", "api", "apollo", "apple", "april", "are", "arsenal", "asdf", "asdfgh", "ashley", "audi", "august",
	"austin", "autumn", "awesome", "azerty", "baby", "babyboy", "babygirl", "banana", "barbara", "barcelona",
	"baseball", "basketball", "bathroom", "batman", "bear", "beatles", "beautiful", "bee", "berlin", "berry", "big",
	"bird", "black", "blessed", "blue", "bmw", "boss", "boston", "boxing", "boy", "boys", "brandon", "brazil", "brian",
	"bridge", "bronze", "brother", "brown", "bulldog", "bulls", "bunny", "burger", "business", "buster", "butter",
	"butterfly", "california", "camaro", "canada", "candy", "captain", "carlos", "cat", "catherine", "changeme",
	"charles", "charlie", "cheese", "chelsea", "cherry", "chevrolet", "chevy", "chicago", "chicken", "chief", "china",
	"chocolate", "christ", "christian", "christopher", "cinnamon", "city", "claire", "code", "coder", "coding",
	"coffee", "college", "company", "computer", "cookie", "cookies", "cool", "cooper", "corvette", "cougar", "country",
	"cowboys", "crazy", "cricket", "crystal", "customer", "cute", "daddy", "daisy", "dallas", "dance", "dancer",
	"daniel", "data", "database", "david", "december", "default", "demo", "demon", "dev", "developer", "devil",
	"diamond", "diana", "director", "docker", "dog", "doggy", "dollar", "dolphin", "door", "dragon", "drummer",
	"ducati", "duck", "dylan", "eagle", "eagles", "earth", "eight", "elephant", "elizabeth", "emily", "eminem", "emma",
	"energy", "engineer", "england", "enter", "eric", "eva", "everyone", "everything", "example", "facebook", "faith",
	"falcon", "fall", "family", "father", "february", "ferrari", "finance", "fire", "first", "fish", "five", "flame",
	"florida", "flower", "flowers", "football", "for", "forever", "fortnite", "four", "fox", "france", "freedom",
	"friday", "friend", "friends", "frodo", "frog", "funny", "gabriel", "galaxy", "gamer", "gandalf", "garage",
	"garden", "george", "germany", "ghost", "ginger", "girl", "girls", "github", "gitlab", "god", "golang", "gold",
	"golden", "golf", "google", "grace", "great", "green", "guest", "guitar", "hack", "hacker", "hannah", "happy",
	"harley", "hawk", "heart", "hearts", "heather", "heaven", "helen", "hell", "hello", "hobbit", "hockey", "home",
	"honda", "honey", "hope", "horse", "hot", "house", "hulk", "hundred", "hunter", "ice", "iloveyou", "india",
	"instagram", "internet", "iphone", "iris", "iron", "ironman", "isabella", "italy", "jackson", "jaguar", "james",
	"january", "japan", "jasmine", "jason", "java", "jazz", "jennifer", "jessica", "jesus", "john", "jonathan",
	"jordan", "joseph", "joshua", "julia", "july", "june", "jupiter", "justice", "justin", "juventus", "katie",
	"kawasaki", "kevin", "killer", "king", "kings", "kiss", "kisses", "kitchen", "kitten", "kitty", "knight",
	"kubernetes", "lady", "lakers", "laura", "lauren", "learning", "lemon", "letmein", "liberty", "lightning", "lily",
	"linda", "linux", "lion", "lisa", "little", "liverpool", "login", "logon", "london", "lord", "louise", "love",
	"lovely", "lover", "loveyou", "lucas", "lucifer", "lucky", "luke", "machine", "madonna", "madrid", "maggie",
	"magic", "magical", "mama", "manager", "march", "maria", "marie", "mario", "mark", "marketing", "mars", "martin",
	"mary", "master", "matrix", "matthew", "maverick", "max", "maxwell", "may", "megan", "melissa", "mercedes",
	"merlin", "metal", "metallica", "mexico", "michael", "michelle", "microsoft", "million", "minecraft", "mistress",
	"mlflow", "mlops", "model", "models", "molly", "mommy", "monday", "money", "monica", "monkey", "moon", "moonlight",
	"morgan", "mother", "mouse", "murphy", "music", "mustang", "mysql", "mystic", "naruto", "natalie", "nathan",
	"network", "never", "newyork", "nicholas", "nicole", "nine", "nirvana", "nissan", "nobody", "not", "nothing",
	"november", "number", "ocean", "october", "office", "oliver", "olivia", "one", "open", "opensesame", "oracle",
	"orange", "orchid", "oscar", "packers", "pamela", "panda", "panther", "papa", "paris", "parker", "pass", "passwd",
	"password", "passwort", "patrick", "paul", "peace", "peach", "peanut", "pepper", "perfect", "petal", "peter",
	"phantom", "piano", "pikachu", "pink", "pizza", "planet", "platinum", "player", "please", "pokemon", "pony",
	"porsche", "postgres", "power", "predict", "prediction", "pretty", "prince", "princess", "private", "prod",
	"production", "program", "puppy", "purple", "python", "qazwsx", "queen", "qwert", "qwerty", "qwertz", "rabbit",
	"rachel", "racing", "rain", "rainbow", "ranger", "rat", "raven", "rebecca", "red", "redsox", "rich", "richard",
	"rider", "river", "road", "robert", "roblox", "rock", "rocket", "rockstar", "room", "root", "rose", "roses",
	"rugby", "runner", "russia", "sales", "samantha", "sample", "samsung", "samuel", "sandra", "sarah", "saturday",
	"saturn", "school", "science", "scientist", "scorpion", "scott", "script", "second", "secret", "security", "sepal",
	"september", "server", "service", "sesame", "setosa", "seven", "sexy", "shadow", "shark", "shuttle", "silver",
	"sister", "six", "skate", "sky", "slipknot", "small", "smile", "snake", "snow", "snowman", "soccer", "soldier",
	"someone", "something", "sophie", "sorry", "space", "spain", "special", "spider", "spiderman", "spirit", "sports",
	"spring", "staging", "star", "stars", "startrek", "starwars", "steel", "steelers", "stephanie", "stephen", "steven",
	"storm", "strawberry", "street", "student", "sugar", "summer", "sunday", "sunny", "sunshine", "super", "superman",
	"support", "surfer", "susan", "suzuki", "sweet", "sweetie", "sweety", "swimming", "system", "taylor", "teacher",
	"temp", "temporary", "ten", "tennis", "test", "tester", "testing", "texas", "thanks", "that", "the", "third",
	"this", "thomas", "thousand", "three", "thunder", "thursday", "tiger", "token", "town", "toyota", "trainer",
	"training", "trustno", "tuesday", "tulip", "turtle", "twitter", "two", "tyler", "ubuntu", "universe", "university",
	"user", "username", "vampire", "versicolor", "victor", "victoria", "village", "vincent", "violet", "virginica",
	"warrior", "water", "wednesday", "welcome", "whale", "whatever", "white", "william", "window", "windows", "winter",
	"with", "wolf", "word", "work", "worker", "world", "yamaha", "yankees", "yellow", "yes", "you", "youtube",
	"zachary", "zelda", "zero", "zombie", "zxcv", "zxcvbn",
}
