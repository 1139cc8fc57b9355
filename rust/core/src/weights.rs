//! What was learnt, as weights: one row per segment, one column per account, bounded in memory.
//!
//! A row's first two cells are shared by all accounts (what issuers do, fast and slow), the
//! others are the accounts' own deviations. A cell is a normal belief about one weight. It moves
//! back to "nothing special" with its memory (an Ornstein-Uhlenbeck process), so that old
//! knowledge fades and uncertainty comes back without any sweep over the table.
use crate::snapshot::SymbolMap;

/// Cells of a row that all accounts share.
pub(crate) const SHARED: usize = 2;
/// What changes within minutes: an issuer's outage and its end.
pub(crate) const FAST: usize = 0;
/// What an issuer is like.
pub(crate) const SLOW: usize = 1;

/// Steady time in eighths of a second: 17 years fit, and steps add up without rounding drift.
pub(crate) fn ticks(now_s: f64) -> u32 {
    (now_s * TICKS_PER_S) as u32
}

pub(crate) const TICKS_PER_S: f64 = 8.0;

/// A belief about one weight. 20 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    pub mean: f32,
    pub variance: f32,
    /// Recent surprise and the variance it should have, for the alarm.
    pub surprise: f32,
    pub expected: f32,
    pub at: u32,
}

/// How one kind of weight behaves: its spread among segments and how fast it forgets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Dynamics {
    pub variance: f64,
    pub rate_per_tick: f64,
    /// What an alarm adds to the variance; 0 means that this kind has no alarm.
    pub jump_variance: f64,
}

impl Dynamics {
    pub fn new(sd: f64, memory_s: f64, jump_sd: f64) -> Self {
        Self {
            // As exact as a cell can hold it, so that a cell which is not there yet and a fresh
            // one say the same to the last bit.
            variance: f64::from((sd * sd) as f32),
            rate_per_tick: 1.0 / (memory_s * TICKS_PER_S),
            jump_variance: jump_sd * jump_sd,
        }
    }

    /// The belief as it stands at `now`.
    #[inline]
    pub fn view(&self, cell: &Cell, now: u32) -> (f64, f64) {
        let left = decay(f64::from(now.saturating_sub(cell.at)) * self.rate_per_tick);
        let variance = f64::from(cell.variance);
        (
            f64::from(cell.mean) * left,
            self.variance + (variance - self.variance) * left * left,
        )
    }

    pub fn fresh(&self, now: u32) -> Cell {
        Cell {
            variance: self.variance as f32,
            at: now,
            ..Cell::default()
        }
    }
}

/// exp(-x) for x >= 0; most ages are small beside the memory, and then three terms do.
#[inline]
fn decay(x: f64) -> f64 {
    if x < 0.01 {
        1.0 - x * (1.0 - 0.5 * x)
    } else {
        (-x).exp()
    }
}

/// How the cells of each level behave: the two shared ones, then the accounts' own.
pub(crate) type Kinds = [Dynamics; SHARED + 1];

#[derive(Clone, Debug, Default)]
pub(crate) struct WeightTable {
    rows: SymbolMap<u32>,
    keys: Vec<u64>,
    levels: Vec<u8>,
    touched: Vec<u32>,
    /// Row-major: `SHARED + columns` cells for each row.
    cells: Vec<Cell>,
    columns: usize,
}

impl WeightTable {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    fn stride(&self) -> usize {
        SHARED + self.columns
    }

    pub fn find(&self, key: u64) -> Option<usize> {
        self.rows.get(&key).map(|row| *row as usize)
    }

    /// The row's shared cells and the accounts' own.
    #[inline]
    pub fn row(&self, row: usize) -> (&[Cell], &[Cell]) {
        let from = row * self.stride();
        self.cells[from..from + self.stride()].split_at(SHARED)
    }

    pub fn cell_mut(&mut self, row: usize, index: usize) -> &mut Cell {
        let at = row * self.stride() + index;
        &mut self.cells[at]
    }

    /// Makes sure that a payment's segments can be opened without rows moving under it.
    pub fn make_room(&mut self, keys: &[u64], now: u32, most: usize) {
        let mut missing = 0;
        for key in keys.iter().filter(|key| **key != 0) {
            match self.find(*key) {
                Some(row) => self.touched[row] = now,
                None => missing += 1,
            }
        }
        if missing > 0 && self.len() + missing > most {
            self.evict();
        }
    }

    /// The row of a segment, made where there is none.
    pub fn open(&mut self, level: usize, key: u64, now: u32, kinds: &Kinds) -> usize {
        self.find(key)
            .unwrap_or_else(|| self.insert(level, key, now, kinds))
    }

    /// Puts back a row of a saved state; `cells` are the shared ones, then (column, cell).
    pub fn put(
        &mut self,
        (level, key, touched): (u8, u64, u32),
        shared: [Cell; SHARED],
        own: &[(usize, Cell)],
        kinds: &[Kinds],
    ) {
        let needed = own.iter().map(|(column, _)| column + 1).max();
        self.widen(needed.unwrap_or(0), kinds);
        let row = self.open(level as usize, key, touched, &kinds[level as usize]);
        for (index, cell) in shared.into_iter().enumerate() {
            *self.cell_mut(row, index) = cell;
        }
        for (column, cell) in own {
            *self.cell_mut(row, SHARED + column) = *cell;
        }
    }

    pub fn row_bytes(&self) -> usize {
        // The cells, and the row's key twice (list and map), level and time.
        self.stride() * size_of::<Cell>() + 2 * 8 + 4 + 1 + 4
    }

    /// Makes room for an account, with fresh beliefs in every row.
    pub fn widen(&mut self, columns: usize, kinds: &[Kinds]) {
        if columns <= self.columns {
            return;
        }
        let wider = columns.next_power_of_two().max(4);
        let (old, new) = (self.stride(), SHARED + wider);
        let mut cells = Vec::with_capacity(self.len() * new);
        for row in 0..self.len() {
            cells.extend_from_slice(&self.cells[row * old..(row + 1) * old]);
            let fresh = kinds[self.levels[row] as usize][SHARED].fresh(self.touched[row]);
            cells.resize((row + 1) * new, fresh);
        }
        self.cells = cells;
        self.columns = wider;
    }

    /// Forgets an account, so that the next one in its column starts fresh.
    pub fn clear_column(&mut self, column: usize, kinds: &[Kinds]) {
        if column < self.columns {
            for row in 0..self.len() {
                let fresh = kinds[self.levels[row] as usize][SHARED].fresh(self.touched[row]);
                *self.cell_mut(row, SHARED + column) = fresh;
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u8, u64, u32, &[Cell])> {
        let stride = self.stride();
        (0..self.len()).map(move |row| {
            let cells = &self.cells[row * stride..(row + 1) * stride];
            (self.levels[row], self.keys[row], self.touched[row], cells)
        })
    }

    fn insert(&mut self, level: usize, key: u64, now: u32, kinds: &Kinds) -> usize {
        let row = self.len();
        self.rows.insert(key, row as u32);
        self.keys.push(key);
        self.levels.push(level as u8);
        self.touched.push(now);
        self.cells
            .extend(kinds[..SHARED].iter().map(|kind| kind.fresh(now)));
        self.cells
            .resize((row + 1) * self.stride(), kinds[SHARED].fresh(now));
        row
    }

    /// Drops the stalest quarter of the rows: rarely, and then many, so that a row costs O(1).
    fn evict(&mut self) {
        let mut times = self.touched.clone();
        let cut = times.len() / 4;
        times.select_nth_unstable(cut);
        let border = times[cut];
        // Among rows of the border's own time, only so many as are still missing go.
        let older = self.touched.iter().filter(|at| **at < border).count();
        let mut more = (cut + 1).saturating_sub(older);
        let mut kept = Self {
            columns: self.columns,
            ..Self::default()
        };
        for row in 0..self.len() {
            if self.touched[row] < border {
                continue;
            }
            // The widest level is used by every payment: it never goes.
            if self.touched[row] == border && more > 0 && self.levels[row] > 0 {
                more -= 1;
                continue;
            }
            kept.rows.insert(self.keys[row], kept.len() as u32);
            kept.keys.push(self.keys[row]);
            kept.levels.push(self.levels[row]);
            kept.touched.push(self.touched[row]);
            let from = row * self.stride();
            kept.cells
                .extend_from_slice(&self.cells[from..from + self.stride()]);
        }
        *self = kept;
    }
}
