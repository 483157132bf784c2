//! Multi-scalar sums: size classes, signed windows, buckets summed in batches.
//!
//! sum_i s_i P_i = sum_w 2^(c w) sum_k k B_(w,k),   B_(w,k) = sum of +-P_i with digit +-k
//!
//! The inner sum is taken over a square: k = u 2^m + v, so sum k B_k = 2^m sum u R_u + sum v C_v
//! with sums of rows R_u and of columns C_v, which are groups like the buckets.

use std::mem::size_of;

use ark_ff::{BigInt, PrimeField};

use crate::arith::Coordinate;
use crate::curve::{BaseOf, Group, ScalarOf};
use crate::error::{value, Result};
use crate::point::{Point, Xyzz};
use crate::scalars::{classes, order, recode, window_count, Class, Limbs, FEW};
use crate::straus;
use crate::sums::{sum_groups, Scratch, Source, Term};
use crate::tasks::Run;

/// Points that one task sums at a time, in bytes; bounds a thread's buffers.
const CHUNK_BYTES: usize = 1 << 21;
/// Scalars that are recoded between two looks for a stop.
const LOOK: usize = 1 << 17;
/// A task takes several windows together until it has so many terms, to share inversions.
const TASK: usize = 1 << 13;

/// Returns sum_i s_i P_i; the identity if there are none. The points are in the r-torsion.
pub fn msm<G: Group>(points: &[Point<BaseOf<G>>], scalars: &[Limbs], run: Run<'_>) -> Result<Point<BaseOf<G>>>
where
    ScalarOf<G>: PrimeField<BigInt = BigInt<4>>,
{
    if points.len() != scalars.len() {
        return value(format!("{} points and {} scalars", points.len(), scalars.len()));
    }
    if points.len() > 1 << 30 {
        return value(format!("{} points: expected at most 2^30", points.len()));
    }
    let (recoded, points) = (Recoded::new(scalars, &order::<ScalarOf<G>>(), run), Source::of(points));
    let mut tasks = recoded.tasks(run.threads);
    // The longest first, so that the threads end together.
    tasks.sort_by_key(|t| std::cmp::Reverse(t.weight()));
    let sums = run.each(tasks.len(), Scratch::default, |scratch, i| {
        recoded.sum_windows(scratch, points, &tasks[i], run)
    })?;
    let total = recoded.finish::<G>(points, tasks.iter().zip(&sums));
    Ok(Xyzz::to_affine(&[total])[0])
}

/// The scalars of a sum, sorted into classes and recoded: done once for all the vectors of points
/// that they are summed over.
pub struct Recoded {
    plans: Vec<Plan>,
    few: Vec<Class>,
}

/// A class with its digits, window-major.
struct Plan {
    positions: Vec<u32>,
    width: u32,
    windows: usize,
    digits: Vec<i16>,
}

/// One task: windows first..last of one plan, of terms from..to.
pub struct Task {
    plan: usize,
    first: usize,
    last: usize,
    from: usize,
    to: usize,
}

impl Task {
    /// Returns the number of terms that it adds.
    pub fn weight(&self) -> usize {
        (self.last - self.first) * (self.to - self.from)
    }
}

impl Recoded {
    /// Sorts and recodes scalars below `order`; at most 2^30. Anything once it is to stop.
    pub fn new(scalars: &[Limbs], order: &Limbs, run: Run<'_>) -> Self {
        let (few, many): (Vec<_>, Vec<_>) =
            classes(scalars, order).into_iter().partition(|c| c.positions.len() <= FEW);
        Recoded { plans: many.into_iter().map(|class| plan(class, run)).collect(), few }
    }

    /// Returns the tasks whose sums `finish` puts together, in any order.
    pub fn tasks(&self, threads: usize) -> Vec<Task> {
        self.plans.iter().enumerate().flat_map(|(i, p)| split(i, p, threads)).collect()
    }

    /// Returns sum_k k B_(w,k) for each window of the task; anything once it is to stop.
    pub fn sum_windows<F: Coordinate>(
        &self,
        scratch: &mut Scratch<F>,
        points: Source<'_, F>,
        task: &Task,
        run: Run<'_>,
    ) -> Vec<Xyzz<F>> {
        window_sums(scratch, points, &self.plans[task.plan], task, run)
    }

    /// Returns the sum from those of all tasks.
    pub fn finish<'a, G: Group>(
        &self,
        points: Source<'_, BaseOf<G>>,
        done: impl Iterator<Item = (&'a Task, &'a Vec<Xyzz<BaseOf<G>>>)>,
    ) -> Xyzz<BaseOf<G>>
    where
        ScalarOf<G>: PrimeField<BigInt = BigInt<4>>,
    {
        let mut windows: Vec<_> = self.plans.iter().map(|p| vec![Xyzz::IDENTITY; p.windows]).collect();
        for (task, sums) in done {
            for (window, sum) in windows[task.plan][task.first..task.last].iter_mut().zip(sums) {
                window.add(sum);
            }
        }
        let mut total = Xyzz::IDENTITY;
        for (plan, windows) in self.plans.iter().zip(&windows) {
            let mut of_class = Xyzz::IDENTITY;
            for window in windows.iter().rev() {
                for _ in 0..plan.width {
                    of_class.double();
                }
                of_class.add(window);
            }
            total.add(&of_class);
        }
        for class in &self.few {
            let points = class.positions.iter().map(|&i| *points.point(i as usize));
            let terms: Vec<_> = points.zip(class.values.iter().copied()).collect();
            total.add(&straus::sum::<G>(&terms));
        }
        total
    }
}

/// Chooses the width: an addition costs 6.5 products, a bucket's part of the reduction 14.
fn width_for(terms: usize, bits: u32) -> u32 {
    if bits == 1 {
        return 1;
    }
    let cost =
        |c: &u32| window_count(bits, *c) as f64 * (6.5 * terms as f64 + 14.0 * (1u64 << (c - 1)) as f64);
    (2..=15).min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or(8)
}

fn plan(class: Class, run: Run<'_>) -> Plan {
    let count = class.values.len();
    let width = width_for(count, class.bits);
    let windows = window_count(class.bits, width);
    let mut digits = vec![0; windows * count];
    let mut row = vec![0; windows];
    for (i, value) in class.values.iter().enumerate() {
        if i % LOOK == 0 && run.check().is_err() {
            break;
        }
        if class.bits == 1 {
            row[0] = if value.is_negative { -1 } else { 1 };
        } else {
            recode(value, width, &mut row);
        }
        for (w, &digit) in row.iter().enumerate() {
            digits[w * count + i] = digit;
        }
    }
    Plan { positions: class.positions, width, windows, digits }
}

/// Cuts a plan into tasks: several windows if they are short, parts of one if they are few.
fn split(index: usize, plan: &Plan, threads: usize) -> Vec<Task> {
    let count = plan.positions.len();
    let together = (TASK / count.max(1)).clamp(1, plan.windows.div_ceil(threads).max(1));
    let is_few = plan.windows < 2 * threads && count >= TASK && threads > 1;
    let parts = if is_few { threads } else { 1 };
    let size = count.div_ceil(parts);
    let mut tasks = vec![];
    for first in (0..plan.windows).step_by(together) {
        let last = (first + together).min(plan.windows);
        for from in (0..count).step_by(size.max(1)) {
            tasks.push(Task { plan: index, first, last, from, to: (from + size).min(count) });
        }
    }
    tasks
}

/// Returns sum_k k B_(w,k) for each window of the task.
fn window_sums<F: Coordinate>(
    scratch: &mut Scratch<F>,
    points: Source<'_, F>,
    plan: &Plan,
    task: &Task,
    run: Run<'_>,
) -> Vec<Xyzz<F>> {
    let buckets = 1usize << (plan.width - 1);
    let groups = (task.last - task.first) * buckets;
    let mut sums: Vec<Point<F>> = vec![];
    // As many terms as stay near the cache, and so many that adding the buckets is little beside.
    let chunk = (CHUNK_BYTES / size_of::<Point<F>>()).max(4 * buckets);
    for from in (task.from..task.to).step_by(chunk) {
        if run.check().is_err() {
            return vec![];
        }
        let to = (from + chunk).min(task.to);
        let (terms, ends) = sorted(plan, task, from..to, buckets);
        let part = sum_groups(scratch, points, &terms, &ends);
        if sums.is_empty() {
            sums = part;
        } else {
            // Each chunk's buckets are added to those before: two terms a group.
            sums.extend(part);
            let terms: Vec<Term> =
                (0..groups).flat_map(|g| [Term::new(g, false), Term::new(g + groups, false)]).collect();
            let ends: Vec<u32> = (1..=groups as u32).map(|g| 2 * g).collect();
            sums = sum_groups(scratch, Source::of(&sums), &terms, &ends);
        }
    }
    reduce(scratch, &sums, buckets)
}

/// Sorts the digits of terms in `range` by (window, |digit|); counting sort.
fn sorted(plan: &Plan, task: &Task, range: std::ops::Range<usize>, buckets: usize) -> (Vec<Term>, Vec<u32>) {
    let count = plan.positions.len();
    let mut ends = vec![0u32; (task.last - task.first) * buckets];
    let digits_of = |w: usize| &plan.digits[w * count..][range.clone()];
    let positions = &plan.positions[range.clone()];
    for w in task.first..task.last {
        let row = &mut ends[(w - task.first) * buckets..][..buckets];
        for &d in digits_of(w) {
            if d != 0 {
                row[d.unsigned_abs() as usize - 1] += 1;
            }
        }
    }
    let mut sum = 0;
    for end in &mut ends {
        // The start of each group for now; filling moves it to the end.
        (*end, sum) = (sum, sum + *end);
    }
    let mut terms = vec![Term::new(0, false); sum as usize];
    for w in task.first..task.last {
        let row = &mut ends[(w - task.first) * buckets..][..buckets];
        for (&d, &position) in digits_of(w).iter().zip(positions) {
            if d != 0 {
                let at = &mut row[d.unsigned_abs() as usize - 1];
                terms[*at as usize] = Term::new(position as usize, d < 0);
                *at += 1;
            }
        }
    }
    (terms, ends)
}

/// Returns sum_k k B_k, k = 1 .. buckets, for each run of `buckets` points.
fn reduce<F: Coordinate>(scratch: &mut Scratch<F>, sums: &[Point<F>], buckets: usize) -> Vec<Xyzz<F>> {
    if buckets < 64 {
        return sums.chunks_exact(buckets).map(|row| weighted(row.iter())).collect();
    }
    // B_k stands at k - 1 = u 2^m + v: sum (k - 1) B_k + sum B_k, rows of 2^m.
    let m = buckets.trailing_zeros() / 2;
    let (columns, rows) = (1usize << m, buckets >> m);
    let (mut terms, mut ends) = (Vec::with_capacity(2 * sums.len()), vec![]);
    for base in (0..sums.len()).step_by(buckets) {
        for u in 0..rows {
            terms.extend((0..columns).map(|v| Term::new(base + u * columns + v, false)));
            ends.push(terms.len() as u32);
        }
        for v in 0..columns {
            terms.extend((0..rows).map(|u| Term::new(base + u * columns + v, false)));
            ends.push(terms.len() as u32);
        }
    }
    let lines = sum_groups(scratch, Source::of(sums), &terms, &ends);
    let mut out = vec![];
    for lines in lines.chunks_exact(rows + columns) {
        let (r, c) = lines.split_at(rows);
        // sum_u u R_u starts at u = 1; sum_v (v + 1) C_v holds the + sum B_k.
        let mut total = weighted(r[1..].iter());
        for _ in 0..m {
            total.double();
        }
        total.add(&weighted(c.iter()));
        out.push(total);
    }
    out
}

/// Returns sum_i (i + 1) P_i by running sums.
fn weighted<'a, F: Coordinate>(points: impl DoubleEndedIterator<Item = &'a Point<F>>) -> Xyzz<F> {
    let (mut running, mut total) = (Xyzz::IDENTITY, Xyzz::IDENTITY);
    for point in points.rev() {
        running.add_affine(point);
        total.add(&running);
    }
    total
}
