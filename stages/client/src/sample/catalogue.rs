//! What the shop sells, and where to.

const COLOURS: [&str; 10] = ["RED", "WHITE", "BLUE", "PINK", "IVORY", "GREEN", "SILVER", "BLACK", "CREAM", "TURQUOISE"];
const PATTERNS: [&str; 10] =
    ["SPOTTY", "STRIPED", "GINGHAM", "FLORAL", "WOODLAND", "VINTAGE", "ALPINE", "NAUTICAL", "PAISLEY", "STARRY"];
const OBJECTS: [&str; 38] = [
    "LANTERN",
    "TEA TOWEL",
    "MUG",
    "CAKE STAND",
    "LUNCH BOX",
    "BUNTING",
    "CANDLE HOLDER",
    "PHOTO FRAME",
    "CUSHION COVER",
    "DOORMAT",
    "COAT HANGER",
    "ALARM CLOCK",
    "WATERING CAN",
    "GIFT WRAP",
    "PAPER CHAIN",
    "JAM JAR",
    "SUGAR BOWL",
    "SHOPPING BAG",
    "UMBRELLA",
    "BIRD HOUSE",
    "PENCIL CASE",
    "NOTEBOOK",
    "TRINKET BOX",
    "HAND WARMER",
    "HOT WATER BOTTLE",
    "EGG CUP",
    "OVEN GLOVE",
    "NAPKINS",
    "BISCUIT TIN",
    "MONEY BOX",
    "PICNIC BASKET",
    "WALL CLOCK",
    "DOORSTOP",
    "FRIDGE MAGNET",
    "SEWING KIT",
    "TOY SOLDIER",
    "SKIPPING ROPE",
    "KEY RING",
];
/// Names that are not ASCII; all of their characters are in ISO-8859-1.
const ACCENTED: [&str; 6] =
    ["CAFÉ AU LAIT BOWL", "CRÈME BRÛLÉE DISH", "FIANCÉE CARD", "£5 GIFT CARD", "½ PINT TANKARD", "25°C THERMOMETER"];
const PENCE: [i64; 24] = [
    29, 39, 42, 55, 65, 85, 85, 125, 125, 165, 165, 195, 210, 250, 295, 375, 425, 495, 595, 795, 850, 995, 1_275, 1_800,
];
/// How many products have a name made of a colour, a pattern and an object.
const MADE: usize = COLOURS.len() * PATTERNS.len() * OBJECTS.len();

/// Something that a line of an invoice may be about.
pub(super) struct Product {
    pub(super) code: String,
    /// In ISO-8859-1, quoted for CSV where that is needed.
    pub(super) description: Vec<u8>,
    /// Whether the description is not ASCII.
    pub(super) accented: bool,
    pub(super) pence: i64,
}

/// All products; the specials are behind the wares.
pub(super) struct Catalogue {
    products: Vec<Product>,
}

/// What is no ware: code, description, price in pence.
const SPECIALS: [(&str, &str, i64); 6] = [
    ("POST", "POSTAGE", 1_800),
    ("D", "Discount", 2_750),
    ("M", "Manual", 125),
    ("BANK CHARGES", "Bank Charges", 1_500),
    ("gift_0001_40", "Gift Voucher £40.00", 3_404),
    ("DOT", "DOTCOM POSTAGE", 56_977),
];

impl Catalogue {
    /// Postage.
    pub(super) const POSTAGE: usize = MADE;
    /// A discount, which is sold minus one times.
    pub(super) const DISCOUNT: usize = MADE + 1;

    pub(super) fn new() -> Self {
        let specials = SPECIALS.iter().map(|(code, name, pence)| product((*code).to_owned(), name, *pence));
        Self { products: (0..MADE).map(made).chain(specials).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.products.len()
    }

    /// How many of the products are wares.
    pub(super) fn wares(&self) -> usize {
        MADE
    }

    pub(super) fn product(&self, index: usize) -> &Product {
        &self.products[index]
    }
}

fn made(index: usize) -> Product {
    // Neighbours in the list are unlike each other: the list is gone through with a stride that has no factor in
    // common with its length.
    let mixed = index * 1_237 % MADE;
    let colour = COLOURS[mixed % COLOURS.len()];
    let pattern = PATTERNS[mixed / COLOURS.len() % PATTERNS.len()];
    let object = OBJECTS[mixed / (COLOURS.len() * PATTERNS.len())];
    let name = match index {
        _ if index % 89 == 7 => format!("{colour} {}", ACCENTED[index / 89 % ACCENTED.len()]),
        _ if index % 31 == 3 => format!("{object},{colour} {pattern}"),
        _ if index % 163 == 5 => format!("{object} 7\" {colour} {pattern} "),
        _ => format!("{colour} {pattern} {object}"),
    };
    // Every fourth code is a variant of the one before it.
    let number = 20_660 + index - index % 4 / 3;
    let variant = if index % 4 == 3 { "B" } else { "" };
    product(format!("{number}{variant}"), &name, PENCE[index * 7 % PENCE.len()])
}

fn product(code: String, name: &str, pence: i64) -> Product {
    let latin: Vec<u8> = name.chars().filter_map(|letter| u8::try_from(u32::from(letter)).ok()).collect();
    let accented = !latin.is_ascii();
    let description = if name.contains([',', '"']) {
        let inside = latin.iter().flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }));
        std::iter::once(b'"').chain(inside).chain(std::iter::once(b'"')).collect()
    } else {
        latin
    };
    Product { code, description, accented, pence }
}

/// Where the shop's customers live.
pub(super) struct Countries;

impl Countries {
    pub(super) const NAMES: [&str; 16] = [
        "United Kingdom",
        "Germany",
        "France",
        "EIRE",
        "Spain",
        "Netherlands",
        "Belgium",
        "Switzerland",
        "Portugal",
        "Australia",
        "Norway",
        "Italy",
        "Channel Islands",
        "Japan",
        "Iceland",
        "Bahrain",
    ];
    /// Nine of ten customers live in the United Kingdom.
    pub(super) const HOME: usize = 0;

    /// The country of a customer, who never moves.
    pub(super) fn of_customer(customer: u64) -> usize {
        let place = customer * 7_919 % 1_000;
        if place < 900 { Self::HOME } else { usize::try_from(1 + (place - 900) * 15 / 100).unwrap_or(Self::HOME) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_and_names_are_distinct_and_of_all_kinds() {
        let catalogue = Catalogue::new();
        let codes: HashSet<&str> = catalogue.products.iter().map(|product| product.code.as_str()).collect();
        assert_eq!(codes.len(), catalogue.len());
        let quoted = |mark: &[u8]| {
            catalogue.products.iter().any(|product| product.description.windows(mark.len()).any(|part| part == mark))
        };
        assert!(quoted(b",") && quoted(b"\"\"") && quoted(b"\xc9") && quoted(b"\xa3"));
        assert_eq!(catalogue.product(Catalogue::POSTAGE).code, "POST");
        assert_eq!(catalogue.product(Catalogue::DISCOUNT).code, "D");
    }

    #[test]
    fn most_customers_are_at_home_and_every_country_has_some() {
        let countries: Vec<usize> = (0..4_000).map(Countries::of_customer).collect();
        let home = countries.iter().filter(|country| **country == Countries::HOME).count();
        assert!((3_500..3_700).contains(&home), "{home}");
        assert_eq!(countries.iter().collect::<HashSet<_>>().len(), Countries::NAMES.len());
    }
}
