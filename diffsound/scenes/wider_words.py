"""More words for every class of sound, beside those in `sounds/`: what captions of `World(wording="wide")` also draw.

Each phrase is true of one class alone, says nothing of pitch, pace, loudness, distance, length or number, and has none
of the words that captions tell time with. Some everyday words are missing on purpose: those that
`diffsound/evaluation/paraphrases.csv` measures with.
"""

from __future__ import annotations

import re

from diffsound.scenes.sounds.sound import Phrases, Words


def _words(*said: str, nouns: Phrases, units: Phrases = ()) -> Words:
    """`said`: clauses, with the participle after a slash: 'a hound woofs/woofing'; without one it is a clause only."""
    clauses = tuple(re.sub(r"(\S+)/(\S+)", r"\1", text) for text in said)
    participles = tuple(re.sub(r"(\S+)/(\S+)", r"\2", text) for text in said if "/" in text)
    return Words(clauses, participles, nouns, units)


WIDER_WORDS: dict[str, Words] = {
    # Alarms and bells
    "bell": _words(
        "a hand bell rings/ringing", "someone rings/ringing a bell", "a bell dings/dinging", "a bell goes/going ding",
        "a brass bell is/being rung", "a church bell rings/ringing", "a school bell rings/ringing",
        "a bicycle bell dings/dinging", "a bell sounds/sounding", "someone strikes/striking a bell",
        nouns=("the church bell", "the ring of a bell", "a hand bell"),
        units=("bell sound", "church bell stroke", "bell ding")),
    "gong": _words(
        "a gong booms/booming", "a gong rings/ringing out", "someone hits/hitting a gong", "a gong is/being hit",
        "someone bangs/banging a gong", "a temple gong sounds/sounding", "a metal gong is/being struck",
        "a monk strikes/striking a gong", "a gong crashes/crashing", "someone sounds/sounding a gong",
        nouns=("a booming gong", "the temple gong", "the boom of a gong"),
        units=("gong sound", "gong strike", "temple gong stroke")),
    "siren": _words(
        "a police siren wails/wailing", "an ambulance siren sounds/sounding", "a siren blares/blaring",
        "a siren goes/going off", "a siren rises/rising and falls/falling", "a police car sounds/sounding its siren",
        "sirens wail/wailing", "an ambulance passes/passing with its siren on", "a police siren blares/blaring",
        "the siren of a police car sounds/sounding",
        nouns=("a police siren", "a blaring siren", "the siren of an ambulance", "the wail of a siren")),
    "alarm_clock": _words(
        "a bedside alarm clock goes/going off", "an alarm clock sounds/sounding", "a wake up alarm beeps/beeping",
        "a morning alarm goes/going off", "a digital alarm clock beeps/beeping", "an alarm clock wakes/waking someone",
        "an alarm clock rings/ringing", "the alarm of a clock goes/going off", "a wake up alarm sounds/sounding",
        "a bedside alarm beeps/beeping",
        nouns=("a morning alarm", "a digital alarm clock", "the beeping of an alarm clock", "a wake up alarm")),
    "buzzer": _words(
        "a quiz buzzer sounds/sounding", "a game show buzzer goes/going off", "a buzzer is/being pressed",
        "a buzzer buzzes/buzzing", "someone hits/hitting a buzzer", "a quiz player presses/pressing a buzzer",
        "an electric buzzer sounds/sounding", "a player hits/hitting the buzzer", "a quiz buzzer goes/going off",
        "someone pushes/pushing a buzzer",
        nouns=("the quiz buzzer", "the buzz of a buzzer", "a game show buzzer"),
        units=("buzzer buzz", "quiz buzzer sound", "buzzer tone")),
    "telephone": _words(
        "a rotary phone rings/ringing", "a desk phone rings/ringing", "someone's telephone rings/ringing",
        "the phone in the hall rings/ringing", "an office phone rings/ringing", "a telephone goes/going ring",
        "a house phone rings/ringing", "a vintage telephone rings/ringing", "a phone rings/ringing on a desk",
        "an old fashioned phone rings/ringing",
        nouns=("a ringing office phone", "the ring of a telephone", "an old ringing telephone"),
        units=("rotary phone ring", "telephone signal", "old telephone ring")),
    "doorbell": _words(
        "a visitor rings/ringing the doorbell", "a doorbell goes/going ding dong", "a doorbell chimes/chiming",
        "a door chime rings/ringing", "the bell at the front door rings/ringing", "someone presses/pressing a doorbell",
        "a doorbell sounds/sounding", "a doorbell is/being pressed", "a front doorbell rings/ringing",
        "someone pushes/pushing the doorbell",
        nouns=("the chime of a doorbell", "the front doorbell", "a chiming doorbell"),
        units=("doorbell chime", "doorbell sound", "front doorbell ring")),
    "whistle": _words(
        "a coach blows/blowing a whistle", "a whistle is/being blown", "a sports whistle sounds/sounding",
        "a referee whistles/whistling", "a lifeguard blows/blowing a whistle", "a metal whistle blows/blowing",
        "a referee's whistle blows/blowing", "a football referee whistles/whistling",
        "a trainer blows/blowing a whistle", "a whistle sounds/sounding",
        nouns=("a referee's whistle", "a sports whistle", "the whistle of a referee"),
        units=("referee whistle", "whistle sound", "whistle signal")),
    # Animals
    "dog": _words(
        "a hound woofs/woofing", "a terrier yelps/yelping", "a dog goes/going woof",
        "someone's dog gives/giving a bark",
        "a guard dog barks/barking", "a dog woofs/woofing", "a hound barks/barking", "a poodle barks/barking",
        "a doggy barks/barking", "a labrador woofs/woofing", "a dog yelps/yelping",
        nouns=("a woofing dog", "a barking hound", "the woof of a hound", "a yelping puppy"),
        units=("woof", "dog woof", "yelp", "hound bark", "puppy bark")),
    "cat": _words(
        "a tomcat mews/mewing", "a kitty meows/meowing", "a house cat meows/meowing", "a tabby mews/mewing",
        "a cat goes/going meow", "a cat miaows/miaowing", "someone's cat gives/giving a meow", "a kitten mews/mewing",
        "a hungry cat meows/meowing", "a kitty miaows/miaowing",
        nouns=("a mewing kitten", "the mew of a cat", "a miaowing cat", "a meowing kitty"),
        units=("mew", "miaow", "kitten meow", "cat mew")),
    "bird": _words(
        "a songbird sings/singing", "a robin chirps/chirping", "a bird sings/singing", "a finch tweets/tweeting",
        "a bird peeps/peeping", "a songbird tweets/tweeting", "a canary sings/singing",
        "a bird in a tree chirps/chirping",
        "a bird gives/giving a chirp", "a garden bird chirps/chirping",
        nouns=("a singing bird", "the chirp of a sparrow", "a tweeting finch", "a chirping robin"),
        units=("bird tweet", "bird peep", "sparrow chirp", "bird song")),
    "duck": _words(
        "a duck goes/going quack", "a duckling quacks/quacking", "a wild duck quacks/quacking",
        "a pond duck quacks/quacking", "a farm duck quacks/quacking", "a duck gives/giving a quack",
        "a duck on a lake quacks/quacking", "a duck calls/calling", "a white duck quacks/quacking",
        "a mallard calls/calling",
        nouns=("a quacking mallard", "the call of a duck", "a quacking duckling"),
        units=("mallard quack", "duck call", "quacking sound")),
    "cow": _words(
        "a dairy cow moos/mooing", "a cow goes/going moo", "a milk cow moos/mooing", "a farm cow moos/mooing",
        "a cow gives/giving a moo", "a cow calls/calling", "a cow in a field moos/mooing", "a brown cow moos/mooing",
        "a calf calls/calling", "a cow in a barn moos/mooing",
        nouns=("a mooing calf", "the call of a cow", "a mooing dairy cow"),
        units=("calf moo", "cow call", "mooing sound")),
    "sheep": _words(
        "a sheep baas/baaing", "a sheep goes/going baa", "a lamb baas/baaing", "a ram bleats/bleating",
        "a farm sheep bleats/bleating", "a sheep gives/giving a bleat", "a sheep in a field bleats/bleating",
        "a sheep calls/calling", "a lamb calls/calling", "a ram baas/baaing",
        nouns=("a baaing sheep", "the baa of a lamb", "a bleating lamb"),
        units=("baa", "sheep baa", "lamb bleat")),
    "frog": _words(
        "a frog goes/going ribbit", "a toad ribbits/ribbiting", "a tree frog croaks/croaking",
        "a pond frog croaks/croaking", "a frog ribbits/ribbiting", "a frog gives/giving a croak",
        "a frog in a pond croaks/croaking", "a green frog croaks/croaking", "a frog calls/calling",
        "a toad gives/giving a croak",
        nouns=("a croaking toad", "the ribbit of a frog", "a ribbiting frog"),
        units=("frog ribbit", "toad croak", "frog call")),
    "crickets": _words(
        "crickets chirp/chirping", "a field cricket sings/singing", "crickets trill/trilling", "crickets call/calling",
        "a house cricket chirps/chirping", "crickets chirp/chirping in the grass", "grasshoppers chirp/chirping",
        "crickets sing/singing at night", "a cricket calls/calling", "a cricket chirrs/chirring in the field",
        nouns=("chirping crickets", "the chirping of crickets", "a singing cricket", "night crickets")),
    "bee": _words(
        "a bumblebee buzzes/buzzing", "a wasp buzzes/buzzing", "a housefly buzzes/buzzing", "a honeybee hums/humming",
        "a fly circles/circling the room", "a bee hums/humming", "a bee flies/flying around", "bees buzz/buzzing",
        "a wasp flies/flying around", "a fly buzzes/buzzing at a window",
        nouns=("a bumblebee", "a buzzing fly", "the buzz of a bee", "a wasp", "the buzzing of insects")),
    "owl": _words(
        "a tawny owl hoots/hooting", "an owl goes/going hoo", "an owl cries/crying", "a wood owl hoots/hooting",
        "an owl gives/giving a hoot", "an owl in a tree hoots/hooting", "an owl hoots/hooting in the night",
        "a forest owl hoots/hooting", "an old owl hoots/hooting", "an owl in the woods calls/calling",
        nouns=("a hooting tawny owl", "the call of an owl", "an owl in the night"),
        units=("owl call", "hooting sound", "tawny owl hoot")),
    "rooster": _words(
        "a rooster goes/going cock a doodle doo", "a farm rooster crows/crowing", "a rooster calls/calling",
        "a cockerel gives/giving a crow", "a proud cock crows/crowing", "a rooster wakes/waking the farm",
        "a red rooster crows/crowing", "a rooster lets/letting out a crow", "a cockerel calls/calling",
        "a rooster on a fence crows/crowing",
        nouns=("a crowing cockerel", "the call of a rooster", "a crowing cock"),
        units=("rooster call", "cockerel call", "cock a doodle doo")),
    "crow": _words(
        "a crow calls/calling", "a raven calls/calling", "a black crow caws/cawing", "a crow cries/crying",
        "a crow goes/going caw", "a crow gives/giving a caw", "a carrion crow caws/cawing",
        "a crow in a tree caws/cawing", "a raven lets/letting out a caw", "a hooded crow caws/cawing",
        nouns=("a cawing raven", "the call of a crow", "a black cawing crow"),
        units=("raven caw", "crow call", "raven call")),
    # Electronic
    "beep": _words(
        "an oven timer beeps/beeping", "a gadget beeps/beeping", "a heart monitor beeps/beeping",
        "an appliance beeps/beeping", "an electronic tone sounds/sounding", "a device gives/giving a beep",
        "a scanner beeps/beeping", "a kitchen timer beeps/beeping", "an electronic device beeps/beeping",
        "a machine lets/letting out a beep",
        nouns=("a beeping machine", "the beep of a device", "a beeping gadget"),
        units=("electronic tone", "machine beep", "device beep", "timer beep")),
    "zap": _words(
        "a space gun fires/firing", "a toy laser fires/firing", "a laser gun zaps/zapping",
        "someone shoots/shooting a laser gun", "a laser pistol fires/firing", "a laser zaps/zapping",
        "an alien fires/firing a ray gun", "a ray gun fires/firing", "someone fires/firing a ray gun",
        "a space ship fires/firing a laser",
        nouns=("a laser gun", "a zapping ray gun", "the shot of a laser gun"),
        units=("ray gun shot", "ray gun zap", "laser blast", "space gun shot")),
    "static": _words(
        "an untuned radio hisses/hissing", "static hisses/hissing", "a radio has/having no signal",
        "a tv hisses/hissing with static", "a speaker crackles/crackling with static", "radio noise hisses/hissing",
        "a badly tuned radio crackles/crackling", "a radio between stations hisses/hissing",
        "static noise crackles/crackling", "a radio plays/playing static",
        nouns=("radio noise", "hissing static", "tv static", "the crackle of static", "a crackling radio")),
    "hum": _words(
        "a fridge hums/humming", "a power transformer hums/humming", "an amplifier hums/humming",
        "electric wires hum/humming", "a refrigerator hums/humming", "electric current hums/humming",
        "an electric box hums/humming", "a transformer station hums/humming", "electricity hums/humming",
        "a power cable hums/humming",
        nouns=("electrical hum", "the hum of electricity", "a humming fridge", "a humming power line",
               "the hum of a transformer")),
    "robot": _words(
        "an android bleeps/bleeping", "a robot talks/talking in bleeps", "a retro video game bleeps/bleeping",
        "a robot speaks/speaking in bleeps", "a video game console bleeps/bleeping", "an old computer bleeps/bleeping",
        "a toy robot bleeps/bleeping", "a computer thinks/thinking in bleeps", "a robot answers/answering in bleeps",
        "a friendly robot bleeps/bleeping",
        nouns=("a bleeping android", "robot talk", "the bleeps of a robot", "computer bleeps", "a talking robot")),
    "ping": _words(
        "a text message arrives/arriving", "a phone pings/pinging", "a new message pings/pinging",
        "a chat message arrives/arriving", "a smartphone pings/pinging", "a phone gets/getting a message",
        "a message comes/coming in", "a notification arrives/arriving", "a phone shows/showing a new notification",
        "someone gets/getting a text message",
        nouns=("a new message", "the ping of a phone", "a phone notification"),
        units=("message ping", "phone ping", "notification sound", "text message tone")),
    # Household
    "clock": _words(
        "a wall clock ticks/ticking", "a pocket watch ticks/ticking", "a grandfather clock ticks/ticking",
        "a kitchen clock ticks/ticking", "a wristwatch ticks/ticking", "a clock on the wall ticks/ticking",
        "a mechanical clock ticks/ticking", "an old clock ticks/ticking", "a watch goes/going tick tock",
        "a clock goes/going tick tick",
        nouns=("a ticking watch", "the tick tock of a clock", "a wall clock", "a ticking grandfather clock")),
    "vacuum_cleaner": _words(
        "someone vacuums/vacuuming the carpet", "a vacuum cleaner is/being on", "a vacuum roars/roaring",
        "someone cleans/cleaning the floor with a vacuum", "a vacuum runs/running", "a vacuum cleaner roars/roaring",
        "someone uses/using a vacuum cleaner", "a vacuum cleaner whirrs/whirring", "a man vacuums/vacuuming a room",
        "a vacuum cleaner works/working",
        nouns=("vacuuming", "the roar of a vacuum cleaner", "a vacuum", "a roaring vacuum cleaner")),
    "creak": _words(
        "a gate squeaks/squeaking", "a wooden door creaks/creaking", "a rusty hinge creaks/creaking",
        "a cupboard door creaks/creaking", "a door squeaks/squeaking", "a gate creaks/creaking open",
        "a door creaks/creaking open", "a heavy door creaks/creaking", "a rusty gate squeaks/squeaking",
        "a hinge gives/giving a creak",
        nouns=("the creak of a door", "a creaking gate", "a squeaking door", "a rusty creaking hinge"),
        units=("hinge creak", "door squeak", "gate creak", "hinge squeak")),
    "typing": _words(
        "someone works/working at a keyboard", "a typist types/typing", "fingers tap/tapping on a keyboard",
        "computer keys click/clicking", "a keyboard clicks/clicking", "someone types/typing a letter",
        "a secretary types/typing", "a keyboard clatters/clattering", "a writer types/typing on a keyboard",
        "a student types/typing on a computer",
        nouns=("keyboard clicks", "the typing of a secretary", "a clattering keyboard", "keyboard noise",
               "typing on a keyboard")),
    "kettle": _words(
        "a kettle sings/singing", "a stovetop kettle whistles/whistling", "a teakettle whistles/whistling",
        "a kettle screams/screaming", "steam whistles/whistling from a kettle",
        "a kettle hisses/hissing and whistles/whistling",
        "a tea kettle shrieks/shrieking", "a metal kettle whistles/whistling", "a hot kettle whistles/whistling",
        "a kettle in the kitchen whistles/whistling",
        nouns=("a whistling tea kettle", "the whistle of a kettle", "a singing kettle", "a teakettle")),
    "coin": _words(
        "a coin drops/dropping", "a penny falls/falling", "a coin lands/landing on a table",
        "someone tosses/tossing a coin onto a table", "a coin bounces/bouncing on the floor",
        "someone drops/dropping a penny", "a coin falls/falling on the floor", "a coin jingles/jingling",
        "money falls/falling on a table", "a coin hits/hitting the ground",
        nouns=("a dropped coin", "a coin on a table", "the jingle of money", "a falling penny"),
        units=("coin jingle", "penny drop", "coin bounce", "coin sound")),
    # People
    "footsteps": _words(
        "someone paces/pacing", "someone walks/walking across a floor", "footsteps go/going by",
        "shoes step/stepping on a floor", "someone goes/going up the stairs", "a man walks/walking down a hallway",
        "someone strolls/strolling", "footsteps come/coming along", "a woman walks/walking in shoes",
        "someone steps/stepping along a path",
        nouns=("walking", "a walker's footsteps", "footsteps on a floor", "steps in a hallway",
               "someone's footsteps")),
    "clap": _words(
        "someone claps/clapping hands", "a child claps/clapping", "a woman claps/clapping her hands",
        "a person gives/giving a clap", "a man claps/clapping", "an audience member claps/clapping",
        "someone gives/giving a clap of the hands", "a person claps/clapping", "a girl claps/clapping her hands",
        "someone in the audience claps/clapping",
        nouns=("the clap of hands", "the sound of a hand clap"),
        units=("handclap", "clapping sound", "clap sound")),
    "cough": _words(
        "a woman coughs/coughing", "a child coughs/coughing", "someone lets/letting out a cough",
        "someone gives/giving a cough", "a sick person coughs/coughing", "an old man coughs/coughing",
        "a boy coughs/coughing", "someone with a cold coughs/coughing", "a girl coughs/coughing",
        "somebody coughs/coughing",
        nouns=("a coughing man", "the cough of a person", "a coughing woman"),
        units=("human cough", "dry cough", "coughing sound")),
    "sneeze": _words(
        "a woman sneezes/sneezing", "someone goes/going achoo", "someone with a cold sneezes/sneezing",
        "a child sneezes/sneezing", "a girl sneezes/sneezing", "someone lets/letting out a sneeze",
        "a boy sneezes/sneezing", "an old man sneezes/sneezing", "somebody sneezes/sneezing",
        "a sick person sneezes/sneezing",
        nouns=("a sneezing man", "the sneeze of a person", "a sneezing woman"),
        units=("human sneeze", "sneezing sound", "sneeze sound")),
    "snoring": _words(
        "someone snores/snoring in bed", "a sleeping man snores/snoring", "a husband snores/snoring",
        "a man sleeps/sleeping and snores/snoring", "a tired man snores/snoring", "a grandfather snores/snoring",
        "someone asleep snores/snoring", "a woman snores/snoring", "a snorer sleeps/sleeping",
        "somebody snores/snoring in a chair",
        nouns=("snoring", "someone's snores", "the snoring of a man", "a snoring sleeper", "a snorer")),
    "baby": _words(
        "a baby screams/screaming", "a baby wails/wailing", "a newborn cries/crying", "a baby weeps/weeping",
        "a hungry baby cries/crying", "a baby in a cot cries/crying", "an infant wails/wailing",
        "a baby boy cries/crying", "an infant screams/screaming", "a baby girl weeps/weeping",
        nouns=("a crying infant", "the cry of a baby", "a screaming baby", "the crying of an infant",
               "a weeping baby")),
    "laughter": _words(
        "a man laughs/laughing", "someone chuckles/chuckling", "someone giggles/giggling", "a child laughs/laughing",
        "friends laugh/laughing", "people laugh/laughing", "a girl giggles/giggling",
        "someone bursts/bursting out laughing", "a person laughs/laughing", "an old man chuckles/chuckling",
        nouns=("a laughing man", "the laughter of a woman", "a giggling child", "someone's laugh", "chuckling")),
    # Impacts
    "knock": _words(
        "someone knocks/knocking at the door", "someone taps/tapping on a door", "a neighbour knocks/knocking",
        "someone bangs/banging on a door", "a visitor knocks/knocking on the door", "a hand knocks/knocking on wood",
        "somebody knocks/knocking", "a man knocks/knocking on a wooden door", "a friend knocks/knocking at the door",
        "someone gives/giving a knock on the door",
        nouns=("the knock of a visitor", "a knock at the door"),
        units=("door tap", "wood knock", "knocking sound")),
    "drum": _words(
        "a drummer hits/hitting a drum", "someone beats/beating a drum", "a drum booms/booming",
        "a drumstick strikes/striking a drum", "a bass drum sounds/sounding", "a drum is/being struck",
        "a drummer strikes/striking a drum", "someone plays/playing a drum", "a bass drum is/being hit",
        "a drum is/being beaten",
        nouns=("a booming drum", "the stroke of a drummer", "the beat of a drum"),
        units=("drum sound", "drum boom", "bass drum hit", "drum thump")),
    "glass": _words(
        "wine glasses clink/clinking", "someone clinks/clinking a glass", "friends clink/clinking glasses",
        "a wine glass clinks/clinking", "a crystal glass clinks/clinking", "a beer glass clinks/clinking",
        "glasses meet/meeting with a clink", "people clink/clinking their glasses", "a glass gives/giving a clink",
        "a drinking glass is/being tapped",
        nouns=("clinking glasses", "the clink of a glass", "the clink of wine glasses"),
        units=("wine glass clink", "clinking sound", "crystal clink")),
    "shatter": _words(
        "a glass shatters/shattering", "a vase shatters/shattering", "a window breaks/breaking",
        "a window is/being smashed", "someone smashes/smashing a bottle", "a pane of glass breaks/breaking",
        "a plate breaks/breaking", "glass shatters/shattering", "someone breaks/breaking a window",
        "a vase falls/falling and breaks/breaking",
        nouns=("shattering glass", "a breaking window", "a smashed bottle", "the shattering of glass"),
        units=("window crash", "glass smash", "bottle smash")),
    "slam": _words(
        "a door bangs/banging shut", "a door crashes/crashing shut", "someone bangs/banging a door shut",
        "a car door slams/slamming", "a front door slams/slamming", "a gate slams/slamming",
        "a kitchen door slams/slamming", "an angry man slams/slamming a door", "a door is/being banged shut",
        "a door slams/slamming shut",
        nouns=("the slam of a door", "a slamming gate"),
        units=("front door slam", "gate slam", "car door slam")),
    "explosion": _words(
        "a bomb goes/going off", "a grenade explodes/exploding", "a firework explodes/exploding",
        "something blows/blowing up", "a firecracker bursts/bursting", "a house blows/blowing up",
        "an explosion booms/booming", "a barrel explodes/exploding", "a firecracker goes/going off",
        "a car blows/blowing up",
        nouns=("the blast of a bomb", "the sound of an explosion", "an exploding bomb"),
        units=("bomb blast", "bomb explosion", "firework bang")),
    # Tools
    "saw": _words(
        "someone cuts/cutting wood with a saw", "a saw cuts/cutting through a board", "someone saws/sawing a log",
        "a woodworker saws/sawing", "a saw goes/going through wood", "a man saws/sawing a board",
        "someone works/working with a handsaw", "a carpenter saws/sawing a board", "someone saws/sawing a branch",
        "a saw cuts/cutting wood",
        nouns=("sawing", "a saw in wood", "a carpenter's saw", "the sawing of wood", "a hand saw")),
    "drill": _words(
        "a power drill runs/running", "someone drills/drilling a hole", "a drill spins/spinning",
        "a cordless drill whirrs/whirring", "a worker drills/drilling into a wall", "someone uses/using a power drill",
        "a drill goes/going into a wall", "a man drills/drilling into wood", "a power drill whirrs/whirring",
        "an electric drill spins/spinning",
        nouns=("a power drill", "drilling", "a cordless drill", "the whirr of a drill", "a drill in a wall")),
    "hammer": _words(
        "a blacksmith hammers/hammering", "a hammer strikes/striking an anvil", "someone hits/hitting an anvil",
        "a metalworker hammers/hammering", "a hammer bangs/banging on metal",
        "someone bangs/banging metal with a hammer",
        "a hammer hits/hitting an anvil", "a smith hammers/hammering", "an anvil is/being struck",
        "a blacksmith strikes/striking an anvil",
        nouns=("a hammer on an anvil", "a blacksmith at the anvil", "the blow of a hammer"),
        units=("hammer hit", "anvil blow", "anvil strike", "hammer bang")),
    "axe": _words(
        "an axe hits/hitting a log", "someone splits/splitting firewood", "a woodcutter chops/chopping",
        "an axe strikes/striking a tree", "someone chops/chopping a tree", "someone chops/chopping firewood",
        "an axe splits/splitting wood", "a woodcutter swings/swinging an axe", "an axe cuts/cutting into a log",
        "someone splits/splitting a log with an axe",
        nouns=("wood being chopped", "an axe in a log", "the stroke of an axe"),
        units=("axe hit", "wood chop", "axe strike")),
    "zipper": _words(
        "someone zips/zipping up a jacket", "a jacket is/being zipped up", "someone pulls/pulling a zipper",
        "someone opens/opening a zipper", "a bag is/being unzipped", "a zip is/being opened",
        "someone unzips/unzipping a bag", "a dress is/being zipped up", "a zipper is/being pulled up",
        "a zip is/being pulled",
        nouns=("a zipper on a jacket", "the zip of a bag", "a zipping zipper"),
        units=("zipper zip", "jacket zip", "zip sound", "zipper pull")),
    # Vehicles
    "engine": _words(
        "a car engine idles/idling", "a motor idles/idling", "a truck engine runs/running", "an engine purrs/purring",
        "a car idles/idling", "a motor hums/humming", "an engine is/being on", "a car engine runs/running",
        "a car motor purrs/purring", "an engine turns/turning over",
        nouns=("a car engine", "an idling engine", "an idling car", "the hum of a motor", "a motor", "a truck engine")),
    "helicopter": _words(
        "helicopter blades whirl/whirling", "a rescue helicopter flies/flying over", "a helicopter circles/circling",
        "a helicopter takes/taking off", "a helicopter lands/landing", "an army helicopter flies/flying by",
        "a police helicopter hovers/hovering", "a helicopter passes/passing overhead",
        "helicopter blades turn/turning", "a helicopter is/being in the air",
        nouns=("helicopter blades", "a rescue helicopter", "the blades of a helicopter", "a police helicopter")),
    "horn": _words(
        "a driver sounds/sounding the horn", "a truck honks/honking", "someone honks/honking the horn",
        "a bus honks/honking", "a car blows/blowing its horn", "a driver hits/hitting the horn",
        "an angry driver honks/honking", "a car horn honks/honking", "a driver presses/pressing the horn",
        "the horn of a car sounds/sounding",
        nouns=("a honking driver", "a honking truck", "the honk of a car"),
        units=("horn honk", "honking sound", "truck honk", "car horn blast")),
    "train": _words(
        "a steam locomotive puffs/puffing", "a locomotive chugs/chugging", "a train chugs/chugging along the tracks",
        "a steam train rolls/rolling by", "an old train puffs/puffing", "a train chuffs/chuffing",
        "a steam train leaves/leaving a station", "a steam train puffs/puffing along",
        "a locomotive chuffs/chuffing along", "a steam train passes/passing",
        nouns=("a steam locomotive", "a train on the tracks", "a puffing train", "a chuffing steam train", "a train")),
    "aeroplane": _words(
        "an airplane flies/flying over", "a jet flies/flying over", "a plane crosses/crossing the sky",
        "a jet plane roars/roaring over", "a passenger plane passes/passing overhead", "a plane takes/taking off",
        "an airplane passes/passing by", "a jet flies/flying overhead", "a plane flies/flying by",
        "a jet plane takes/taking off",
        nouns=("an airplane", "a jet plane", "a passenger plane", "the roar of a jet", "a plane in the sky")),
    # Water
    "wave": _words(
        "waves wash/washing ashore", "a wave rolls/rolling in", "a wave hits/hitting the beach",
        "the sea breaks/breaking on the shore", "the ocean roars/roaring", "surf breaks/breaking on a beach",
        "sea waves roll/rolling in", "ocean waves crash/crashing", "the sea roars/roaring",
        "waves break/breaking on a beach",
        nouns=("ocean surf", "sea waves", "waves on a beach", "the sea", "the roar of the ocean")),
    "stream": _words(
        "a river flows/flowing", "a brook gurgles/gurgling", "a stream runs/running", "a stream trickles/trickling",
        "a river runs/running over stones", "a creek gurgles/gurgling", "a stream flows/flowing through a forest",
        "a creek runs/running", "a brook flows/flowing", "a mountain stream babbles/babbling",
        nouns=("a river", "a flowing stream", "a gurgling brook", "a trickling creek", "a mountain stream")),
    "drip": _words(
        "a pipe drips/dripping", "a drop falls/falling into a sink", "a drop of water lands/landing",
        "water drips/dripping into a basin", "water drips/dripping into a bucket", "a kitchen tap drips/dripping",
        "a drop of water falls/falling into a bucket", "a drop of water hits/hitting the sink",
        "water drips/dripping from a pipe", "a bathroom tap drips/dripping",
        nouns=("a dripping pipe", "the drip of a tap", "a falling drop of water"),
        units=("tap drip", "pipe drip", "dripping sound")),
    "splash": _words(
        "a stone splashes/splashing into a pond", "a fish splashes/splashing", "something falls/falling into water",
        "a rock splashes/splashing into a lake", "someone falls/falling into water", "a stone falls/falling into water",
        "a child splashes/splashing in water", "something lands/landing in water with a splash",
        "someone splashes/splashing in a lake", "someone throws/throwing a stone into a pond",
        nouns=("a splash of water", "a splash in a pond", "splashing water", "a stone in a pond"),
        units=("pond splash", "lake splash", "splashing sound")),
    "bubbles": _words(
        "bubbles rise/rising in water", "water boils/boiling", "a soup bubbles/bubbling", "a pan boils/boiling",
        "someone blows/blowing bubbles under water", "air bubbles/bubbling through water",
        "water boils/boiling in a pot", "bubbles come/coming up in water", "a pot bubbles/bubbling",
        "a pot of soup boils/boiling",
        nouns=("boiling water", "rising bubbles", "bubbles in water", "a bubbling pot", "bubbling soup")),
    # Weather
    "rain": _words(
        "it pours", "it is raining", "rain patters/pattering on a roof", "raindrops fall/falling",
        "rain beats/beating down", "a rain shower passes/passing", "it pours with rain", "a downpour falls/falling",
        "rain comes/coming down", "rain hits/hitting a window", "raindrops patter/pattering on a window",
        "rain falls/falling on a roof",
        nouns=("a downpour", "rainfall", "pouring rain", "raindrops", "a rain shower", "the patter of rain")),
    "wind": _words(
        "wind roars/roaring", "a gale howls/howling", "the wind sweeps/sweeping by", "a storm wind howls/howling",
        "the wind rushes/rushing", "wind rushes/rushing through trees", "it is windy", "a cold wind blows/blowing",
        "the wind blows/blowing through trees", "wind howls/howling around a house",
        nouns=("a howling gale", "a storm wind", "the howling of the wind", "wind in the trees", "roaring wind")),
    "thunder": _words(
        "thunder booms/booming", "thunder cracks/cracking", "a thunderstorm rumbles/rumbling",
        "thunder roars/roaring", "thunder crashes/crashing", "a thundercloud rumbles/rumbling",
        "thunder sounds/sounding", "a thunderstorm rolls/rolling in", "thunder echoes/echoing",
        "a thunderstorm thunders/thundering",
        nouns=("a thunderstorm", "a crack of thunder", "rolling thunder", "the rumble of thunder", "booming thunder")),
    "fire": _words(
        "a fireplace crackles/crackling", "logs burn/burning", "wood burns/burning", "a log fire burns/burning",
        "logs crackle/crackling in a fireplace", "flames dance/dancing", "a campfire crackles/crackling",
        "a wood fire crackles/crackling", "a fire burns/burning", "a fire is/being lit",
        nouns=("a campfire", "a log fire", "a burning fire", "the crackle of a fire", "burning wood", "flames")),
}
