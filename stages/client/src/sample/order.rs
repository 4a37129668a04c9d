//! One invoice, drawn at random.

use super::catalogue::{Catalogue, Countries};
use super::random::Random;

/// How many customers the shop has.
pub(super) const CUSTOMERS: u64 = 4_300;

/// What does not change from invoice to invoice.
pub(super) struct Shop {
    pub(super) catalogue: Catalogue,
}

impl Shop {
    pub(super) fn new() -> Self {
        Self { catalogue: Catalogue::new() }
    }
}

/// An invoice.
pub(super) struct Order {
    pub(super) cancelled: bool,
    pub(super) customer: Option<u64>,
    pub(super) country: usize,
    /// A correction of the stock has no descriptions.
    pub(super) blank_descriptions: bool,
    pub(super) lines: Vec<Line>,
}

/// A line of an invoice. Lines of one invoice that are equal are equal rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) product: usize,
    pub(super) quantity: i64,
    pub(super) pence: i64,
}

/// What invoices are about, out of a thousand.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Sale,
    Cancellation,
    StockCorrection,
    /// Orders from the web shop: hundreds of lines, no customer, higher prices.
    WebOrders,
}

const KINDS: [(u64, Kind); 4] =
    [(820, Kind::Sale), (140, Kind::Cancellation), (28, Kind::StockCorrection), (12, Kind::WebOrders)];
/// Numbers of lines of a sale.
const SALE_LINES: [(u64, (u64, u64)); 4] = [(15, (1, 4)), (40, (4, 21)), (33, (15, 41)), (12, (40, 101))];
const QUANTITIES: [(u64, i64); 18] = [
    (350, 1),
    (160, 2),
    (85, 12),
    (70, 3),
    (70, 6),
    (62, 4),
    (40, 24),
    (24, 5),
    (21, 8),
    (21, 10),
    (10, 48),
    (7, 7),
    (7, 36),
    (7, 20),
    (6, 16),
    (4, 72),
    (2, 144),
    (1, 1_008),
];

impl Order {
    /// Draws an invoice of a sample of `rows` rows.
    pub(super) fn draw(shop: &Shop, random: &mut Random, rows: u64) -> Self {
        match random.weighted(&KINDS) {
            Kind::Sale => Self::sale(shop, random),
            Kind::Cancellation => Self::cancellation(shop, random),
            Kind::StockCorrection => Self::stock_correction(shop, random),
            Kind::WebOrders => Self::web_orders(shop, random, rows),
        }
    }

    fn sale(shop: &Shop, random: &mut Random) -> Self {
        let customer = (!random.chance(80)).then(|| random.below(CUSTOMERS));
        let country = customer.map_or(Countries::HOME, Countries::of_customer);
        let (least, end) = random.weighted(&SALE_LINES);
        let mut lines = draw_lines(shop, random, least, end, |pence| pence);
        if country != Countries::HOME {
            lines.push(Line { quantity: 1, ..of(shop, Catalogue::POSTAGE) });
        }
        Self { cancelled: false, customer, country, blank_descriptions: false, lines }
    }

    fn cancellation(shop: &Shop, random: &mut Random) -> Self {
        let customer = (!random.chance(30)).then(|| random.below(CUSTOMERS));
        let mut lines = draw_lines(shop, random, 1, 5, |pence| pence);
        for line in &mut lines {
            line.quantity = -line.quantity;
        }
        if random.chance(60) {
            lines[0] = Line { quantity: -1, ..of(shop, Catalogue::DISCOUNT) };
        }
        let country = customer.map_or(Countries::HOME, Countries::of_customer);
        Self { cancelled: true, customer, country, blank_descriptions: false, lines }
    }

    fn stock_correction(shop: &Shop, random: &mut Random) -> Self {
        let product = random.skewed(shop.catalogue.wares());
        let found = random.weighted(&QUANTITIES);
        let quantity = if random.chance(600) { -found } else { found };
        let lines = vec![Line { product, quantity, pence: 0 }];
        Self { cancelled: false, customer: None, country: Countries::HOME, blank_descriptions: true, lines }
    }

    fn web_orders(shop: &Shop, random: &mut Random, rows: u64) -> Self {
        // A small sample is not swallowed by one invoice.
        let most = (rows / 20).clamp(8, 600);
        let mut lines = draw_lines(shop, random, most / 4, most + 1, |pence| pence * 17 / 10);
        for line in &mut lines {
            line.quantity = 1 + line.quantity % 5;
        }
        Self { cancelled: false, customer: None, country: Countries::HOME, blank_descriptions: false, lines }
    }
}

/// Lines of which a few repeat an earlier one, as a whole or with another quantity.
fn draw_lines(shop: &Shop, random: &mut Random, least: u64, end: u64, price: impl Fn(i64) -> i64) -> Vec<Line> {
    let count = random.between(least, end);
    let mut lines: Vec<Line> = Vec::with_capacity(usize::try_from(count).unwrap_or(0) + 1);
    for _ in 0..count {
        let quantity = random.weighted(&QUANTITIES);
        let earlier = match lines.len() {
            0 => None,
            some => lines.get(random.skewed(some)).copied(),
        };
        let line = match (random.below(1_000), earlier) {
            (0..12, Some(line)) => line,
            (12..26, Some(line)) => Line { quantity, ..line },
            (26..30, _) => Line { quantity, pence: 0, ..of(shop, random.skewed(shop.catalogue.wares())) },
            (30, _) => Line { quantity: 1, ..of(shop, shop.catalogue.len() - 2) },
            _ => {
                let ware = of(shop, random.skewed(shop.catalogue.wares()));
                Line { quantity, pence: price(ware.pence), ..ware }
            }
        };
        lines.push(line);
    }
    lines
}

fn of(shop: &Shop, product: usize) -> Line {
    Line { product, quantity: 1, pence: shop.catalogue.product(product).pence }
}
